"""Level standard: a user for each task, no way to be another, and no namespaces."""

from __future__ import annotations

import pytest

from tests.support.hostile import Argument, Site

READS = """
def attack(path):
    with open(path, "rb") as file:
        return len(file.read(100))
"""

READS_ENVIRONMENT = """
def attack(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return len(file.read())
"""

SIGNALS = """
def attack(pid):
    os.kill(int(pid), 0)
    return True
"""

LISTS = """
def attack(path):
    return os.listdir(path)
"""

WRITES = """
def attack(path):
    return os.open(path, os.O_WRONLY | os.O_CREAT)
"""

BECOMES = """
def attack():
    os.setuid(0)
    return os.getuid() == 0
"""

HAS = """
def attack():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [key for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
            if int(lines[key], 16)]
"""

STOPPED: dict[str, tuple[str, tuple[Argument, ...]]] = {
    "list the state directory": (LISTS, (lambda site: str(site.daemon.state),)),
    "read what is root's": (READS, ("/etc/shadow",)),
    "signal the keeper": (SIGNALS, (lambda site: str(site.keeper.pid),)),
    "read the keeper's environment": (READS_ENVIRONMENT, (lambda site: str(site.keeper.pid),)),
    "become root": (BECOMES, ()),
    "have a capability": (HAS, ()),
}


@pytest.mark.parametrize("what", STOPPED)
async def test_it_cannot_what_root_could(none: Site, standard: Site, what: str) -> None:
    text, arguments = STOPPED[what]
    assert (await none.attack(text, *arguments)).worked
    verdict = await standard.attack(text, *arguments)
    assert not verdict.worked, verdict


async def test_it_cannot_write_where_only_root_may(standard: Site) -> None:
    for path in ("/usr/er-hostile", "/etc/er-hostile", "/proc/sys/kernel/core_pattern"):
        assert not (await standard.attack(WRITES, path)).worked


@pytest.mark.parametrize("what", ["file", "environment", "signal"])
async def test_it_cannot_touch_another_task(none: Site, standard: Site, what: str) -> None:
    for site, works in ((none, True), (standard, False)):
        async with site.neighbour() as neighbour:
            pid = str(neighbour.process.pid)
            words = {"file": (READS, neighbour.file), "environment": (READS_ENVIRONMENT, pid)}
            verdict = await site.attack(*words.get(what, (SIGNALS, pid)))
        assert verdict.worked is works, verdict
