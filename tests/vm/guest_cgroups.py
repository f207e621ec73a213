"""The keeper's cgroups where version 2 has the controllers: in a unit with Delegate=yes.

Run in the throw-away guest, by `systemd-run --pipe --wait -p Delegate=yes PYTHON THIS`, as the
unit's only process. The same limits are tried in the old hierarchies by tests/integration/keeper.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from stage import Checks, said

from runner.keeper import cgroups_tree as tree
from runner.keeper import syscalls
from runner.keeper.cgroups import KINDS, Cgroups, Limits
from runner.keeper.cgroups_group import Group
from runner.keeper.tracing import Facts

ROOT = "/run/guest-cgroups"
TASK_UID = 64_002
MIB = 2**20
LIMIT = 64 * MIB
AT_ONCE = "x = bytearray(256 << 20)"
SLOWLY = "x = []\nwhile True: x.append(bytearray(1 << 18))"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-ISc', {AT_ONCE!r}])"
PAGES = "import os; f = os.memfd_create('x')\nwhile True: os.write(f, bytes(1 << 20))"
SMALL = "x = bytearray(16 << 20)"
BOMB = "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass"
ESCAPEES = """
import os, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        time.sleep(600)
"""
BUSY = "import os; os.sched_setaffinity(0, [0])\nwhile True: pass"
WRITES = """
import os, sys
wrote = [path for path in sys.argv[1:] if os.access(path, os.W_OK)]
for path in sys.argv[1:]:
    try:
        os.close(os.open(path, os.O_WRONLY))
        wrote.append(path)
    except OSError: pass
sys.exit(len(wrote) > 0)
"""


def until(condition: Callable[[], object], patience: float = 120) -> bool:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def start(
    groups: Cgroups, name: str, program: str, limits: Limits, *words: str, uid: int = 0
) -> int:
    """Run a program of Python's in a new group."""
    membership = groups.create(name, limits)
    pid = syscalls.clone_into(membership.directory)
    if pid == 0:
        try:
            for file in membership.files:
                os.write(file, b"0")
            os.setgroups(())
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            command = [sys.executable, "-IS", "-c", program, *words]
            os.execv(command[0], command)  # noqa: S606 - there is to be none
        finally:
            os._exit(99)
    membership.close()
    return pid


def wait(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def end(group: Group) -> Facts:
    group.kill()
    until(lambda: not group.populated())
    facts = group.facts()
    group.remove()
    return facts


def run(
    groups: Cgroups, program: str, limits: Limits, *words: str, uid: int = 0
) -> tuple[int, Facts]:
    code = wait(start(groups, "a", program, limits, *words, uid=uid))
    return code, end(groups.group("a"))


def own() -> str:
    return tree.own_directories()[tree.V2]


def shared(checks: Checks) -> None:
    """With somebody else in its group, it says so and stays where it is."""
    here = own()
    with subprocess.Popen(["sleep", "1000"]) as other:
        groups = Cgroups(ROOT)
        told = all(f"other processes ({other.pid}" in groups.held[kind] for kind in KINDS)
        other.kill()
    checks.that(told, "a group that is shared is told as what keeps limits from it", groups.held)
    checks.that(own() == here, "and the keeper stays where it was", own())
    checks.that(run(groups, SMALL, {"memory": 1})[0] == 0, "tasks run there, with no limit")
    groups.close()


def memory(checks: Checks, groups: Cgroups) -> None:
    for how, program in (("at once", AT_ONCE), ("slowly", SLOWLY), ("by files", PAGES)):
        code, facts = run(groups, program, {"memory": LIMIT})
        right = code == -signal.SIGKILL and facts["oom_kills"] == 1
        checks.that(right, f"who takes more memory than it may, {how}, is killed", (code, facts))
        peak = facts["memory_peak"]
        right = facts["memory_limit"] == LIMIT and (peak is None or LIMIT / 2 < peak <= LIMIT)
        checks.that(right, "and limit and peak are told", facts)
    code, facts = run(groups, CHILD, {"memory": LIMIT})
    checks.that((code, facts["oom_kills"]) == (0, 1), "so is a child of one that exits 0",
                (code, facts))  # fmt: skip
    code, facts = run(groups, SMALL, {"memory": LIMIT})
    checks.that((code, facts["oom_kills"]) == (0, 0), "below the limit it completes", (code, facts))
    groups.create("a", {"memory": LIMIT, "cpu": 2.0, "processes": 7}).close()
    files = (
        "memory.max",
        "memory.swap.max",
        "memory.oom.group",
        "cpu.max",
        "cpu.weight",
        "io.weight",
        "pids.max",
    )
    there = [tree.word(f"{groups.path}/a/{name}") for name in files]
    wanted = [str(LIMIT), "0", "0", "200000 100000", "200", "default 200", "7"]
    wanted[1] = wanted[1] if Path(f"{groups.path}/a/memory.swap.max").exists() else ""
    checks.that(there == wanted, "all limits are as they were set, and there is no swap", there)
    groups.remove("a")


def processes(checks: Checks, groups: Cgroups) -> None:
    pid = start(groups, "a", BOMB, {"processes": 24, "cpu": 0.5})
    group = groups.group("a")
    refused = until(lambda: tree.pids_refused(group.path) > 20)
    count = len(group.processes())
    checks.that(refused and 2 <= count <= 24, "a fork bomb is bounded", count)
    checks.that(subprocess.run(["true"], check=False).returncode == 0, "and others can fork")
    facts = end(group)
    gone = wait(pid) == -signal.SIGKILL and not Path(group.path).exists()
    checks.that(gone and facts["pids_refused"] > 20, "once killed it is gone, and counted", facts)
    pid = start(groups, "a", ESCAPEES, {})
    left = until(lambda: len(group.processes()) == 4) and wait(pid) == 0 and group.populated()
    checks.that(left, "sessions of their own are seen in the group", group.processes())
    end(group)
    checks.that(not Path(group.path).exists(), "and killed with it")


def cpu(checks: Checks, groups: Cgroups) -> None:
    busy = [start(groups, "a", BUSY, {"cpu": 0.25})]
    stat = f"{groups.path}/a/cpu.stat"
    until(lambda: tree.table(stat)["nr_periods"] > 0)
    before = tree.table(stat)
    until(lambda: tree.table(stat)["nr_periods"] > before["nr_periods"] + 30)
    after = tree.table(stat)
    used, periods = (after[name] - before[name] for name in ("usage_usec", "nr_periods"))
    share = used / periods / 100_000
    checks.that(0.1 < share < 0.4, "a busy task with a quarter of a core uses that", share)
    end(groups.group("a"))
    granted = {"a": 1.0, "b": 4.0}
    for name, cores in granted.items():
        busy.append(start(groups, name, BUSY, {"cpu": cores}))

    def seconds(name: str) -> float:
        return groups.group(name).facts()["cpu_seconds"] or 0

    until(lambda: all(seconds(name) > 1 for name in granted))
    begun = {name: seconds(name) for name in granted}
    until(lambda: sum(map(seconds, granted)) > sum(begun.values()) + 5)
    less, more = (seconds(name) - begun[name] for name in granted)
    checks.that(2 < more / less < 8, "two busy tasks share as they were granted", (less, more))
    for name in granted:
        end(groups.group(name))
    for pid in busy:
        wait(pid)


def escape(checks: Checks, groups: Cgroups) -> None:
    names = ("cgroup.procs", "cgroup.subtree_control", "cgroup.kill", "memory.max", "pids.max")
    groups.create("b").close()
    files = [f"{groups.path}/{place}{name}" for place in ("a/", "b/", "") for name in names]
    code, _ = run(groups, WRITES, {"processes": 4}, *files, uid=TASK_UID)
    checks.that(code == 0, "a task can write to no file of any group", code)
    code, _ = run(groups, WRITES, {"processes": 4}, *files)
    checks.that(code == 1, "which root could", code)
    groups.remove("b")


def others(checks: Checks) -> None:
    """Keepers in units that are not like this one."""
    program = (
        f"from runner.keeper.cgroups import *; g = Cgroups({ROOT!r}); print(g.held); g.close()"
    )
    unit = ["systemd-run", "--quiet", "--pipe", "--wait"]
    unit.append(f"--setenv=PYTHONPATH={os.environ.get('PYTHONPATH', '')}")

    def told(*properties: str) -> str:
        words = [f"--property={each}" for each in properties]
        return said(*unit, *words, sys.executable, "-c", program)

    held = str(dict.fromkeys(KINDS, ""))
    answer = told("Delegate=yes", "User=nobody")
    checks.that(answer == held, "an ordinary user's keeper holds limits too",
                answer)  # fmt: skip
    answer = told()
    checks.that("lacks Delegate=yes" in answer, "without Delegate=yes nothing is changed", answer)


def main() -> int:
    checks = Checks()
    Path(ROOT).mkdir(exist_ok=True)
    if sys.argv[1:2] != ["again"]:
        others(checks)
        shared(checks)
        unit = own()
        groups = Cgroups(ROOT)
        checks.that(groups.held == dict.fromkeys(KINDS, ""), "all limits are held", groups.held)
        leaf = own()
        checks.that(Path(leaf).parent == Path(unit), "the keeper has a leaf of its own", leaf)
        memory(checks, groups)
        processes(checks, groups)
        cpu(checks, groups)
        escape(checks, groups)
        pid = start(groups, "a", "import time; time.sleep(1000)", {"memory": LIMIT})
        counted = map(str, (checks.passed, checks.failed))
        command = [sys.executable, *sys.argv, "again", str(pid), unit, *counted]
        os.execv(command[0], command)  # noqa: S606 - likewise
    pid, unit = int(sys.argv[2]), sys.argv[3]
    checks.passed, checks.failed = map(int, sys.argv[4:6])
    groups = Cgroups(ROOT)
    found = groups.names(), groups.group("a").processes(), str(Path(own()).parent)
    checks.that(found == (["a"], [pid], unit), "one that replaced itself finds its groups", found)
    checks.that(groups.held == dict.fromkeys(KINDS, ""), "and holds limits as before", groups.held)
    end(groups.group("a"))
    wait(pid)
    groups.close()
    left = own(), [each.name for each in Path(unit).iterdir() if each.is_dir()]
    checks.that(left == (unit, []), "at its end it leaves its group as it was", left)
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return min(checks.failed, 1)


if __name__ == "__main__":
    sys.exit(main())
