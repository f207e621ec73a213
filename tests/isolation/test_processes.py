"""A hostile task in the sandbox sees no process but its own, and reaches none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site, Sites

SEES_ALL = """
def attack(mark):
    def of(pid):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return pid if mark.encode() in file.read() else None
    return each([lambda pid=pid: of(pid) for pid in pids() if pid != os.getpid()])
"""

READS_ENVIRONMENTS = """
def attack(secret):
    def of(pid):
        with open(f"/proc/{pid}/environ", "rb") as file:
            return pid if secret.encode() in file.read() else None
    return each([lambda pid=pid: of(pid) for pid in pids() if pid != os.getpid()])
"""

# Signal 0 asks only whether it might.
SIGNALS = """
def attack(pid):
    os.kill(int(pid), 0)
    return True
"""

SIGNALS_BY_PIDFD = """
def attack(pid):
    signal.pidfd_send_signal(os.pidfd_open(int(pid)), 0)
    return True
"""

TRACES = """
def attack(pid):
    SEIZE, DETACH, INTERRUPT = 0x4206, 17, 0x4207
    libc.ptrace.argtypes = [ctypes.c_long] * 4
    done(libc.ptrace(SEIZE, int(pid), 0, 0))
    done(libc.ptrace(INTERRUPT, int(pid), 0, 0))
    os.waitpid(int(pid), 0x40000000)
    done(libc.ptrace(DETACH, int(pid), 0, 0))
    return True
"""

READS_MEMORY = """
def attack(pid):
    line = next(s for s in open(f"/proc/{pid}/maps") if " rw" in s or " r-" in s)
    address = int(line.split("-")[0], 16)
    buffer = ctypes.create_string_buffer(16)
    near = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 16)
    far = (ctypes.c_size_t * 2)(address, 16)
    return done(libc.process_vm_readv(int(pid), near, 1, far, 1, 0))
"""

WRITES_MEMORY = """
def attack(pid):
    return os.open(f"/proc/{pid}/mem", os.O_RDWR)
"""

TAKES_DESCRIPTORS = """
def attack(pid):
    return done(libc.syscall(438, os.pidfd_open(int(pid)), 0, 0)) + 1
"""

# Of its own children, as debuggers do: what is denied is denied to it as a whole.
DENIED = {
    "signal": SIGNALS,
    "signal by pidfd": SIGNALS_BY_PIDFD,
    "trace": TRACES,
    "read the memory of": READS_MEMORY,
    "write to the memory of": WRITES_MEMORY,
    "take descriptors of": TAKES_DESCRIPTORS,
}


async def test_it_cannot_see_the_daemon_or_the_keeper(sites: Sites) -> None:
    await sites.contained(SEES_ALL, lambda site: str(site.daemon.root))


async def test_it_cannot_see_the_hosts_processes(sites: Sites) -> None:
    await sites.contained(SEES_ALL, "pytest")


async def test_it_cannot_read_another_tasks_environment(none: Site, strict: Site) -> None:
    for site, works in ((none, True), (strict, False)):
        async with site.neighbour() as neighbour:
            verdict = await site.attack(READS_ENVIRONMENTS, neighbour.secret)
        assert verdict.worked is works, verdict


@pytest.mark.parametrize("what", DENIED)
async def test_it_cannot_touch_another_task(none: Site, strict: Site, what: str) -> None:
    for site, works in ((none, True), (strict, False)):
        async with site.neighbour() as neighbour:
            verdict = await site.attack(DENIED[what], str(neighbour.process.pid))
        assert verdict.worked is works, f"{what}: {verdict}"


@pytest.mark.parametrize("what", DENIED)
async def test_it_cannot_touch_the_keeper(sites: Sites, what: str) -> None:
    await sites.contained(DENIED[what], lambda site: str(site.keeper.pid))


async def test_it_cannot_signal_the_daemon(sites: Sites) -> None:
    def daemon(site: Site) -> str:
        assert site.daemon.process is not None
        return str(site.daemon.process.pid)

    await sites.contained(SIGNALS, daemon)


async def test_it_cannot_raise_its_importance(sites: Sites) -> None:
    niced = "def attack():\n    return os.nice(-5) < 0"
    await sites.contained(niced)


# What kills all that it can reach must never run where that is the host: it ends at once unless
# it is an ordinary user in a namespace of processes other than the one that it is given.
KILLER = """
import ctypes, os, signal, sys
if os.getuid() == 0 or os.readlink("/proc/self/ns/pid") == sys.argv[1]:
    sys.exit("this is no sandbox: nothing was killed")
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
def kill(pid, number=signal.SIGKILL):
    try:
        os.kill(pid, number)
    except OSError:
        pass
others = [int(name) for name in os.listdir("/proc") if name.isdigit()]
others.remove(os.getpid())
"""


def killer(site: Site, text: str) -> dict[str, object]:
    return site.payload(KILLER + text, str(Path("/proc/self/ns/pid").readlink()))


async def test_killing_all_that_it_can_harms_nobody_else(strict: Site) -> None:
    """Not done without a sandbox, where it ends the host."""
    keeper = strict.keeper.pid
    async with strict.neighbour():
        ran = await strict.run(killer(strict, "kill(-1)\nprint('killed', flush=True)"))
        assert b"no sandbox" not in ran.output.stderr
    assert strict.keeper.pid == keeper
    assert not strict.daemon.is_dead()


FORGES = """
for pid in others:
    libc.ptrace(0x4206, pid, 0, 0)
    try:
        os.open(f"/proc/{pid}/mem", os.O_RDWR)
    except OSError:
        pass
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL):
    kill(1, number)
os._exit(7)
"""


async def test_it_cannot_forge_its_end(strict: Site) -> None:
    """Whatever it does to what holds its sandbox: it exits with 7, and that is told."""
    ran = await strict.run(killer(strict, FORGES))
    (attempt,) = ran.task.attempts
    assert (attempt.exit_code, attempt.signal) == (7, 0), ran.output.stderr
    assert ran.task.failure.reason == v1.FAILURE_REASON_EXIT_CODE


KILLS_OTHERS = """
for pid in others:
    kill(pid)
os._exit(0)
"""


async def test_ending_its_own_sandbox_it_ends_by_a_signal_or_as_it_exited(strict: Site) -> None:
    """It may pull down the namespace that it lives in; nothing else is told than what came."""
    ran = await strict.run(killer(strict, KILLS_OTHERS))
    (attempt,) = ran.task.attempts
    if attempt.signal:
        assert (attempt.signal, ran.task.state) == (9, v1.TASK_STATE_FAILED)
    else:
        assert (attempt.exit_code, ran.task.state) == (0, v1.TASK_STATE_COMPLETED)


INHERITED = """
def attack():
    return sorted(os.readlink(f"/proc/self/fd/{n}") for n in os.listdir("/proc/self/fd")
                  if int(n) > 2 and os.path.exists(f"/proc/self/fd/{n}"))
"""


@pytest.mark.parametrize("level", ["none", "strict"])
async def test_it_inherits_no_descriptor(sites: Sites, level: str) -> None:
    """None but its three streams, so there is nothing to show without the sandbox."""
    verdict = await getattr(sites, level).attack(INHERITED)
    assert verdict.got == "[]"


SAYS_WHO = """
def attack():
    return [os.getpid(), os.getppid(), os.getsid(0), os.getpgid(0), os.getuid(), os.getgid(),
            os.getgroups(), os.getcwd(), os.uname().nodename]
"""


async def test_in_its_sandbox_it_is_nobody_known(strict: Site) -> None:
    got = (await strict.attack(SAYS_WHO)).got
    pid, parent, session, group, uid, gid, groups, cwd, host = eval(got)  # noqa: S307 - a list
    assert (session, group) == (pid, pid)
    assert uid >= 2_100_000_000
    assert gid == uid
    assert set(groups) <= {uid}
    assert parent == 0, "its parent is outside"
    assert (cwd, host == os.uname().nodename) == ("/workspace", False)
