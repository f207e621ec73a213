"""The acts of `guest.py` about limits and isolation, as the units come: strict, with no word of it
in the configuration. What a task sees, what it is held to, and what it cannot do.

The same is tried in detail by tests/isolation; here it is systemd that starts the keeper, and the
kernel has nothing but version 2 of cgroups.
"""

from __future__ import annotations

import re
from pathlib import Path

from guest_attacks import attacked, gains_nothing
from stage import (
    KEEPER,
    TASK_USERS,
    Checks,
    output,
    processes_of,
    python,
    said,
    started,
    uid,
    until,
)

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1

OPT = Path("/opt/env-runner")
MIB = 2**20
FACTS = """
id -u
cat /proc/self/oom_score_adj /proc/self/cgroup
ulimit -n
for each in NoNewPrivs Seccomp CapEff CapBnd; do
    sed -n "s/^$each:[[:space:]]*//p" /proc/self/status
done
pwd
"""
HOLDER = 8  # the most processes that a sandbox itself may count for

CHILD = """
import os, sys
if os.fork() == 0:
    x = bytearray(b'x') * (256 << 20)
sys.exit(os.wait()[1] != 0)
"""
FILLS = """
with open("big", "wb", 0) as file:
    while True:
        file.write(bytes(1 << 20))
"""
OVER = {
    "memory": ("x = bytearray(b'x') * (256 << 20)", "OUT_OF_MEMORY", "memory of 64 MiB"),
    "a child's memory": (
        CHILD,
        "OUT_OF_MEMORY",
        "memory of 64 MiB",
    ),
    "disk": (FILLS, "LIMIT", "disk of 16 MiB"),
    "processes": (
        "import os, time\nfor _ in range(100):\n if os.fork() == 0: time.sleep(1000)",
        "LIMIT",
        "limit of 32 processes",
    ),
    "wall time": ("while True: pass", "TIMED_OUT", "wall time"),
    "idle time": ("import time\ntime.sleep(1000)", "TIMED_OUT", "idle time"),
}
TIMES = {"wall time": {"timeout": "3s"}, "idle time": {"idle_timeout": "3s"}}

FLOODS = "import os\nfor _ in range(32): os.write(1, bytes(1 << 16))"
WITHIN = """
import os, time
x = bytearray(b"x") * (24 << 20)
with open("some", "wb") as file:
    file.write(bytes(8 << 20))
for _ in range(16):
    if os.fork() == 0:
        time.sleep(2)
        os._exit(0)
print("within", flush=True)
for _ in range(16):
    os.wait()
"""

BURNS = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass"

# Wherever it is let; never more than 2 ** 9 processes.
BOMB = """
import os, time
print("lit", flush=True)
def burn(depth):
    for _ in range(2 if depth < 8 else 0):
        while True:
            try:
                if os.fork() == 0:
                    os.setsid()
                    burn(depth + 1)
                break
            except OSError:
                time.sleep(0.01)
    time.sleep(1000)
burn(0)
"""


async def tasks_are_contained(checks: Checks, runner: Supervisor, pids: tuple[int, int]) -> None:
    """All of it. `pids` are those of keeper and daemon."""
    held = said(f"{OPT}/current/bin/env-runner", "info")
    checks.that("strict" in held, "the runner says that it holds strict", held)
    await as_it_is_seen(checks, runner)
    await runner.assign(
        python("import time; time.sleep(1000)", env={"NEIGHBOUR": "1"}),
        task_class="cpu_long", task_id="neighbour",
    )  # fmt: skip
    pid = await started(runner, "neighbour")
    limits_of(checks, pid)
    await attacked(checks, runner, (*pids, pid))
    await gains_nothing(checks, runner)
    await overstepped(checks, runner)
    await floods(checks, runner)
    await stays_within(checks, runner)
    await fork_bomb(checks, runner)
    task = await runner.get("neighbour")
    state = v1.TaskState.Name(task.state)
    checks.that(task.state == v1.TASK_STATE_RUNNING, "all of which its neighbour outlives", state)
    await runner.cancel("neighbour", grace=0)
    async for _ in runner.watch(["neighbour"], now=True, until_done=True):
        pass
    none = await until(lambda: processes_of(TASK_USERS) == [])
    checks.that(none, "nothing of any of them is left",
                processes_of(TASK_USERS))  # fmt: skip


async def as_it_is_seen(checks: Checks, runner: Supervisor) -> None:
    result, text = await output(runner, {"execution": {"command": ["sh", "-c", FACTS]}})
    checks.that(result.completed, "a task runs to its end", result.task.failure.message)
    facts = [*text.split("\n"), *[""] * 9]
    user = int(facts[0]) if facts[0].isdecimal() else -1
    checks.that(user in TASK_USERS, "as a user of its own", facts)
    checks.that(facts[1] == "0", "without the keeper's protection from the kernel", facts)
    checks.that(facts[2] == "0::/", "in a cgroup whose place it cannot see", facts)
    checks.that(facts[3] == "1024", "with the usual number of descriptors", facts)
    none = "0" * 16
    kept = facts[4:8] == ["1", "2", none, none]
    checks.that(kept, "with no new privilege, a filter of system calls, no capability", facts)
    checks.that(facts[8] == "/workspace", "in a workspace of its own", facts)


def limits_of(checks: Checks, pid: int) -> None:
    """What the kernel holds a process to."""
    group = Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::")
    below = rf"/system\.slice/{KEEPER}\.service/env-runner\.[0-9a-f]{{8}}/.+"
    checks.that(re.fullmatch(below, group), "a task's cgroup is below the keeper's unit", group)
    names = ("memory.max", "memory.swap.max", "memory.oom.group", "cpu.max", "pids.max")
    at = Path(f"/sys/fs/cgroup{group}")
    found = {name: (at / name).read_text().strip() for name in names if (at / name).exists()}
    memory = (int(found.get("memory.max", "0").replace("max", "0")), found.get("memory.swap.max"))
    checks.that(memory == (80 * MIB, "0"), "its memory is what was granted and its disk", found)
    checks.that(found.get("memory.oom.group") == "0", "a child may die of it alone", found)
    checks.that(found.get("cpu.max") == "50000 100000", "its processor time is half a core", found)
    weight = at / "io.weight"
    io = weight.read_text().split() if weight.exists() else []
    checks.that(io == ["default", "50"], "so is its weight on disks", io)
    processes = found.get("pids.max", "")
    right = processes.isdecimal() and 32 <= int(processes) <= 32 + HOLDER
    checks.that(right, "its processes are what was granted", found)
    checks.that(uid(pid) in TASK_USERS, "it is nobody's but its own", uid(pid))


async def overstepped(checks: Checks, runner: Supervisor) -> None:
    for what, (text, reason, words) in OVER.items():
        payload = python(text, resources=TIMES.get(what, {}))
        failure = (await output(runner, payload))[0].task.failure
        right = v1.FailureReason.Name(failure.reason) == f"FAILURE_REASON_{reason}"
        checks.that(right and words in failure.message, f"over its limit of {what} it is told so",
                    str(failure))  # fmt: skip
    result, _ = await output(runner, python(BURNS))
    attempt = result.task.attempts[-1]
    wall = (attempt.exit_time.ToNanoseconds() - attempt.start_time.ToNanoseconds()) / 1e9
    used = attempt.usage.cpu_time.ToNanoseconds() / 1e9
    checks.that(0 < used <= 0.5 * wall * 1.25 + 0.1, "a busy task has what it was granted, no more",
                (used, wall))  # fmt: skip


async def floods(checks: Checks, runner: Supervisor) -> None:
    result, text = await output(runner, python(FLOODS, resources={"output": "1MiB"}))
    counted = result.task.attempts[-1].usage.stdout_bytes
    checks.that((result.completed, len(text), counted) == (True, MIB, 2 * MIB),
                "over its limit of output all is counted, the limit kept, and its end stands",
                (str(result.task.failure), len(text), counted))  # fmt: skip


async def stays_within(checks: Checks, runner: Supervisor) -> None:
    asked = {"timeout": "50s", "idle_timeout": "40s", "output": "1MiB"}
    result, text = await output(runner, python(WITHIN, resources=asked))
    checks.that(result.completed and text == "within\n", "below all of its limits a task completes",
                (str(result.task.failure), text))  # fmt: skip


async def fork_bomb(checks: Checks, runner: Supervisor) -> None:
    await runner.assign(python(BOMB), task_id="bomb")  # cpu_long has room for one
    pid = await started(runner, "bomb")
    group = Path("/sys/fs/cgroup" + Path(f"/proc/{pid}/cgroup").read_text().strip()[3:])

    def refused() -> int:
        return int((group / "pids.events").read_text().split()[1])

    checks.that(await until(refused), "a fork bomb is refused its forks", group)
    result, text = await output(runner, python("print('served')"))
    checks.that(text == "served\n", "and others are served", str(result.task.failure))
    await runner.cancel("bomb", grace=0)
    async for _ in runner.watch(["bomb"], now=True, until_done=True):
        pass
    task = await runner.get("bomb")
    ended = task.state == v1.TASK_STATE_CANCELLED and not group.exists()
    checks.that(ended, "cancelled, it has ended when nothing of it is left", str(task.failure))
