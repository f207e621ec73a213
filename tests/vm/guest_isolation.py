"""The acts of `guest.py` about limits and isolation, as the units come: strict, with no word of it
in the configuration. What a task sees, what it is held to, and what it cannot do.

The same is tried in detail by tests/isolation; here it is systemd that starts the keeper, and the
kernel has nothing but version 2 of cgroups.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from stage import KEEPER, TASK_USERS, Checks, processes_of, said, uid, until

from supervisor.client import Supervisor
from supervisor.result import Result
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
ASKED = {"memory": "64MiB", "disk": "16MiB", "cpu": 0.5, "processes": 32}
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
}

BURNS = "import time\nend = time.monotonic() + 4\nwhile time.monotonic() < end: pass"

ATTACKS = """
import ctypes, json, os, signal, socket, stat, sys
libc = ctypes.CDLL(None, use_errno=True)
def done(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return True
keeper, daemon, port, neighbour = sys.argv[1:]
tries = {
    "read the journal": lambda: open("/var/lib/env-runner/journal.db", "rb"),
    "list the keeper's files": lambda: os.listdir("/var/lib/env-runner-keeper"),
    "read shadow": lambda: open("/etc/shadow"),
    "read the configuration": lambda: open("/etc/env-runner/config.toml"),
    "write to /usr": lambda: open("/usr/hostile", "w"),
    "write to /etc": lambda: open("/etc/hostile", "w"),
    "write to /": lambda: open("/hostile", "w"),
    "set the kernel": lambda: open("/proc/sys/kernel/core_pattern", "w"),
    "see systemd": lambda: [p for p in os.listdir("/proc") if p.isdigit()
                            and b"systemd" in open(f"/proc/{p}/comm", "rb").read()],
    "see a neighbour": lambda: [p for p in os.listdir("/proc") if p.isdigit()
                                and b"NEIGHBOUR" in open(f"/proc/{p}/environ", "rb").read()],
    "signal the neighbour": lambda: not os.kill(int(neighbour), 0),
    "signal the keeper": lambda: not os.kill(int(keeper), 0),
    "signal the daemon": lambda: not os.kill(int(daemon), 0),
    "reach loopback": lambda: socket.create_connection(("127.0.0.1", int(port)), 5),
    "reach the daemon": lambda: not socket.socket(socket.AF_UNIX).connect(
        "/run/env-runner/supervisor.sock"),
    "reach the keeper": lambda: not socket.socket(socket.AF_UNIX).connect(
        "/run/env-runner-keeper/keeper.sock"),
    "reach the bus": lambda: not socket.socket(socket.AF_UNIX).connect(
        "/run/dbus/system_bus_socket"),
    "become root": lambda: not os.setuid(0),
    "mount": lambda: done(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "remount": lambda: done(libc.mount(None, b"/usr", None, 32 | 4096, None)),
    "make a user namespace": lambda: done(libc.unshare(0x10000000)),
    "make a device": lambda: not os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(1, 0)),
    "find its cgroup": lambda: os.listdir("/sys/fs/cgroup"),
}
worked = []
for name, attempt in tries.items():
    try:
        if attempt():
            worked.append(name)
    except OSError:
        pass
print(json.dumps([len(tries), worked]))
"""

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


def python(text: str, *arguments: str, **execution: object) -> dict[str, object]:
    """A payload."""
    command = ["/usr/bin/python3", "-ISc", text, *arguments]
    return {"execution": {"command": command, "resources": ASKED, **execution}}


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
    await attacked(checks, runner, pids, pid)
    await overstepped(checks, runner)
    await fork_bomb(checks, runner)
    task = await runner.get("neighbour")
    state = v1.TaskState.Name(task.state)
    checks.that(task.state == v1.TASK_STATE_RUNNING, "all of which its neighbour outlives", state)
    await runner.cancel("neighbour", grace=0)
    async for _ in runner.watch(["neighbour"], now=True, until_done=True):
        pass
    checks.that(processes_of(TASK_USERS) == [], "nothing of any of them is left",
                processes_of(TASK_USERS))  # fmt: skip


async def started(runner: Supervisor, task_id: str) -> int:
    """The pid of a task that has one now."""
    async for event in runner.watch([task_id], now=True):
        if event.task.state == v1.TASK_STATE_RUNNING:
            break
    return int((await runner.get(task_id)).attempts[-1].handle)


async def output(runner: Supervisor, payload: dict[str, object]) -> tuple[Result, str]:
    """How it ended, and what it printed."""
    lines: list[bytes] = []
    result = await runner.run(payload, on_output=lambda chunk: lines.append(chunk.data))
    return result, b"".join(lines).decode(errors="replace")


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
    processes = found.get("pids.max", "")
    right = processes.isdecimal() and 32 <= int(processes) <= 32 + HOLDER
    checks.that(right, "its processes are what was granted", found)
    checks.that(uid(pid) in TASK_USERS, "it is nobody's but its own", uid(pid))


async def attacked(
    checks: Checks, runner: Supervisor, pids: tuple[int, int], neighbour: int
) -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    words = map(str, (*pids, port, neighbour))
    result, text = await output(runner, python(ATTACKS, *words))
    server.close()
    try:
        count, worked = json.loads(text)
    except ValueError:
        count, worked = 0, [text, str(result.task.failure)]
    checks.that(count and not worked, f"{count} attacks of a hostile task come to nothing", worked)


async def overstepped(checks: Checks, runner: Supervisor) -> None:
    for what, (text, reason, words) in OVER.items():
        payload = python(text)
        if what == "wall time":
            payload["execution"]["resources"] = {**ASKED, "timeout": "3s"}  # type: ignore[index] # a dict
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
