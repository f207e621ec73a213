"""A hostile task in the sandbox reads no file that is not its own, and writes none."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hostile import Site, Sites

READS = """
def attack(path):
    with open(path, "rb") as file:
        return len(file.read(100))
"""

LISTS = """
def attack(path):
    return os.listdir(path)
"""

CLIMBS = """
def attack(path):
    directory = os.open(".", os.O_RDONLY)
    for _ in range(40):
        directory = os.open("..", os.O_RDONLY, dir_fd=directory)
    return os.listdir(os.open(path.lstrip("/"), os.O_RDONLY, dir_fd=directory))
"""

THROUGH_PROC = """
def attack(path):
    ways = [f"/proc/{pid}/{way}" for pid in pids() for way in ("root", "cwd")]
    return each([lambda way=way: os.listdir(way + path) for way in ways])
"""

OPENS_TO_WRITE = """
def attack(path):
    return os.open(path, os.O_WRONLY)
"""

MAKES = """
def attack(directory, name):
    path = f"{directory.rstrip('/')}/{name}"
    with open(path, "x") as file:
        file.write("here")
    return path
"""


def there(*paths: str) -> list[str]:
    """Those that this kernel has."""
    return [path for path in paths if Path(path).exists()]


def state(site: Site) -> str:
    return str(site.daemon.state)


def journal(site: Site) -> str:
    (found,) = (path for path in site.daemon.state.glob("*.db") if path.stat().st_size)
    return str(found)


async def test_it_cannot_list_the_state_directory(sites: Sites) -> None:
    await sites.contained(LISTS, state)


async def test_it_cannot_read_the_journal(sites: Sites) -> None:
    await sites.contained(READS, journal)


async def test_it_cannot_read_what_the_host_keeps_for_root(sites: Sites) -> None:
    await sites.contained(READS, "/etc/shadow")


@pytest.mark.parametrize(
    "path", there("/proc/kcore", "/proc/kpagecount", "/proc/timer_list", "/dev/kmsg", "/dev/mem")
)
async def test_it_cannot_read_the_kernels_memory(sites: Sites, path: str) -> None:
    await sites.contained("def attack(path):\n    return os.open(path, os.O_RDONLY)", path)


async def test_it_cannot_climb_out_from_its_working_directory(sites: Sites) -> None:
    await sites.contained(CLIMBS, state)


async def test_it_cannot_go_through_the_roots_and_directories_of_processes(sites: Sites) -> None:
    await sites.contained(THROUGH_PROC, state)


async def test_it_cannot_read_another_tasks_workspace(none: Site, strict: Site) -> None:
    for site, works in ((none, True), (strict, False)):
        async with site.neighbour() as neighbour:
            verdict = await site.attack(READS, neighbour.file)
        assert verdict.worked is works, verdict


@pytest.mark.parametrize(
    "path",
    there(
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/drop_caches",
        "/proc/sysrq-trigger",
        "/sys/kernel/rcu_expedited",
        "/sys/kernel/uevent_helper",
    ),
)
async def test_it_cannot_write_to_the_kernels_settings(sites: Sites, path: str) -> None:
    await sites.contained(OPENS_TO_WRITE, path)


@pytest.fixture
def name() -> Iterator[str]:
    """Of a file that appears nowhere on the host, and is removed where it did."""
    made = f"er-hostile-{uuid.uuid4().hex}"
    yield made
    for directory in PLACES:
        Path(directory, made).unlink(missing_ok=True)


PLACES = ("/", "/usr", "/usr/bin", "/etc", "/dev", "/var", "/home", "/root", "/run")


def removed(path: Path) -> bool:
    """Whether it was there."""
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


@pytest.mark.parametrize("directory", PLACES)
async def test_it_cannot_leave_a_file_on_the_host(
    none: Site, strict: Site, directory: str, name: str
) -> None:
    assert (await none.attack(MAKES, directory, name)).worked
    assert removed(Path(directory, name))
    verdict = await strict.attack(MAKES, directory, name)
    assert not verdict.worked, verdict
    assert not removed(Path(directory, name))


@pytest.mark.parametrize("directory", ["/tmp", "/var/tmp", "/dev/shm"])
async def test_what_it_leaves_for_others_is_its_own(
    none: Site, strict: Site, directory: str, name: str
) -> None:
    """It may write there, and it is not the host's."""
    path = Path(directory, name)
    assert (await none.attack(MAKES, directory, name)).worked
    assert removed(path)
    assert (await strict.attack(MAKES, directory, name)).worked
    assert not removed(path)
    assert not (await strict.attack(READS, str(path))).worked, "one task left it for another"
