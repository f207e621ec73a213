"""What holds for real processes beyond the executors' contract: what they start with, and what
becomes of what they leave."""

from __future__ import annotations

import json
import os
from pathlib import Path

import psutil

from runner.domain.exit import Stopped
from tests.support import keepers
from tests.support.rig import Rig
from tests.support.workload import PYTHON, Workload

ABOUT_ITSELF = r"""
import json, os, resource, signal
print(json.dumps({
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))[:-1],
    "umask": os.umask(0),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "ignored": [n for n in range(1, 32) if n not in (13, 25)  # Python's own
                and signal.getsignal(n) == signal.SIG_IGN],
    "leads": os.getsid(0) == os.getpgid(0) == os.getpid(),
    "oom": int(open("/proc/self/oom_score_adj").read()),
    "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
    "home": os.access(os.environ.get("HOME", "/"), os.W_OK),
    "tmp": os.access(os.environ.get("TMPDIR", "/tmp"), os.W_OK),
}))
"""

# Direct children that have ended and that nobody waits for, until the parent ends.
ZOMBIES = """
import os
for _ in range(500):
    if os.fork() == 0:
        os._exit(1)
os._exit(3)
"""

# Each generation forks until 300 are there; all ignore TERM and sleep.
MANY = r"""
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for n in range(300):
    if os.fork() == 0:
        if n % 2:
            os.setsid()
        time.sleep(1000)
os.write(1, b"ready")
time.sleep(1000)
"""


async def test_it_starts_with_nothing_of_its_parents_but_the_three_streams(real: Rig) -> None:
    ended = await real.run((PYTHON, "-ISc", ABOUT_ITSELF))
    about = json.loads(ended.output.stdout)
    # The fourth is that of the directory which is being listed.
    assert about["descriptors"] == [0, 1, 2]
    assert about["umask"] in {0o022, 0o027, 0o077}
    assert about["core"][0] == 0
    assert about["blocked"] == []
    assert about["ignored"] == []
    assert about["leads"]
    assert about["oom"] == 0
    assert about["home"]
    assert about["tmp"]


async def test_it_runs_as_its_user_in_no_other_group(real: Rig) -> None:
    about = json.loads((await real.run((PYTHON, "-ISc", ABOUT_ITSELF))).output.stdout)
    assert about["uid"] == [real.uid] * 3
    if real.uid != os.getuid():
        assert about["gid"] == [real.uid] * 3
        assert set(about["groups"]) <= {real.uid}


async def test_its_directory_is_empty_and_its_own(real: Rig) -> None:
    look = ("/bin/sh", "-c", 'ls -A . "$TMPDIR" | grep -v : && touch . x; touch y "$TMPDIR/z"')
    assert (await real.run(look)).output.stdout.split() == []
    assert (await real.run(look)).output.stdout.split() == []


async def test_a_program_is_looked_up_on_the_tasks_own_path(real: Rig) -> None:
    program = real.open / "hello"
    program.write_text("#!/bin/sh\necho hello\n")
    program.chmod(0o755)
    path = {"PATH": f"{real.there}:/usr/bin:/bin"}
    assert (await real.run(("hello",), environment=path)).output.stdout == b"hello\n"


async def test_no_shell_reads_the_arguments(real: Rig) -> None:
    words = ("a b; touch /tmp/pwn", "$HOME", "`id`", "*", "", "\n", "-n")
    ended = await real.run(("/usr/bin/printf", "%s\\0", *words))
    assert ended.output.stdout.decode().split("\0")[:-1] == list(words)


async def test_five_hundred_zombies_are_reaped(real: Rig) -> None:
    """F27: none is left, and their codes are not taken for the task's."""
    ended = await real.run((PYTHON, "-ISc", ZOMBIES))
    assert ended.exit.code == 3
    assert real.processes(ended.request) == []
    assert zombies(real) == []


async def test_hundreds_of_stubborn_children_in_other_sessions_are_killed(real: Rig) -> None:
    """F23, bounded: what a stop leaves after its grace is killed, all of it."""
    request = real.request((PYTHON, "-ISc", MANY))
    started = await real.executor.launch(request)
    await real.says(request.name, b"ready")
    await real.executor.stop(started.handle, 0.2)
    end = await real.executor.wait(started.handle)
    assert (end.stopped, end.signal, end.killed) == (Stopped.REQUESTED, 9, True)
    assert real.processes(request) == []


async def test_what_it_used_is_told(real: Rig) -> None:
    busy = "x = bytearray(50_000_000)\nfor _ in range(3_000_000): pass"
    usage = (await real.run((PYTHON, "-ISc", busy))).exit.usage
    assert usage.cpu_seconds > 0.01
    assert usage.max_memory_bytes > 40_000_000


async def test_the_suites_own_descriptors_are_few(real: Rig) -> None:
    """F28, small: hundreds of attempts leave no descriptor open, here or in the far side."""
    before = descriptors()
    for _ in range(100):
        await real.run(Workload().exit(1))
    assert descriptors() <= before + 5


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def zombies(rig: Rig) -> list[int]:
    """The zombies among the keeper's children."""
    children = [c for k in keepers.find(rig.open.parent / "k" / "keeper") for c in k.children()]
    return [c.pid for c in children if c.status() == psutil.STATUS_ZOMBIE]
