"""A hostile task in the sandbox is nobody but itself, and becomes nobody else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.support.hostile import Make, Site, Sites
from tests.support.waiting import until

BECOMES = """
def attack():
    os.setuid(0)
    os.setgid(0)
    return os.getuid() == 0 and os.access("/etc/shadow", os.R_OK)
"""

HAS = """
def attack():
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return [key for key in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
            if int(lines[key], 16)]
"""

# What setuid gives is seen in the effective user of what runs: it is told by /proc/PID/status.
RUNS = """
def attack(*argv):
    waiting, _ = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(waiting, 0)
        nowhere = os.open("/dev/null", os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        try:
            os.execv(argv[0], argv)
        finally:
            os._exit(127)
    deadline = time.monotonic() + 10
    own = f"{os.getuid()}"
    try:
        while time.monotonic() < deadline:
            lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
            if "Z" in lines["State"]:
                raise OSError(errno.ECHILD, "it ended")
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == os.path.basename(argv[0]):
                return lines["Uid"].split()[1] != own
        raise OSError(errno.ETIME, "never seen")
    except PermissionError:
        return True  # it is another's: not even its link may be read
    finally:
        try:
            os.kill(pid, 9)
        except OSError:
            pass
"""


@pytest.fixture(scope="module")
def plain(make_site: Make) -> Site:
    """No sandbox, and an ordinary user: who is root has nothing to gain."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    user = 64_200 + int(worker)
    return make_site("iso-plain", "none", EXECUTORS__LOCAL__USER=f"{user}:{user}")


async def test_it_cannot_become_root(sites: Sites) -> None:
    await sites.contained(BECOMES)


async def test_it_has_no_capability(sites: Sites) -> None:
    await sites.contained(HAS)


async def test_a_setuid_program_of_the_host_gives_it_nothing(
    plain: Site, standard: Site, strict: Site
) -> None:
    su = shutil.which("su")
    assert su
    assert (await plain.attack(RUNS, su)).worked
    for site in (standard, strict):
        verdict = await site.attack(RUNS, su)
        assert not verdict.worked, verdict


WAITS_AND_RUNS = (
    RUNS.replace("def attack", "def run")
    + """
def attack(name):
    print("ready", flush=True)
    while not os.path.exists(name):
        time.sleep(0.01)
    while not os.stat(name).st_mode & stat.S_ISUID:
        time.sleep(0.01)
    return run(os.path.abspath(name), "60")
"""
)


async def test_a_setuid_file_in_its_workspace_gives_it_nothing(
    plain: Site, standard: Site, strict: Site
) -> None:
    """Put there by root itself, since no task could."""
    for site, works in ((plain, True), (standard, False), (strict, False)):
        verdict = await site.attack_while(WAITS_AND_RUNS, _put_setuid, "sleep")
        assert verdict.worked is works, verdict


SLEEP = Path("/bin/sleep").read_bytes()


async def _put_setuid(site: Site, task_id: str) -> None:
    directory = site.seen_by_keeper(site.name_of(task_id))
    found: list[Path] = []

    def made() -> bool:
        found[:] = [path for path in directory.rglob("workspace") if path.is_dir()]
        return bool(found)

    await until(made, "it has a workspace")
    file = found[0] / "sleep"
    file.write_bytes(SLEEP)
    os.chown(file, 0, 0)
    file.chmod(0o4755)
