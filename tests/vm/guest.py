"""env-runner under systemd, in a throw-away guest: every promise of the two units, as it happens.

Started by `make test-vm` after `install.sh`, as root, with the installed Python. One task runs
through the whole of the first part, and its output is followed over one connection of a client:
whatever is killed, stopped or replaced meanwhile, each byte comes once and the task starts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from guest_isolation import tasks_are_contained
from stage import (
    DAEMON,
    KEEPER,
    TASK_USERS,
    Checks,
    log,
    moment,
    pid,
    processes_of,
    said,
    show,
    status,
    systemctl,
    uid,
    until,
)

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1

CONFIG = Path("/etc/env-runner/config.toml")
OPT = Path("/opt/env-runner")
LONG = """
trap 'go=' USR1
go=on
echo begin
i=0
while [ $go ]; do echo $i; i=$((i+1)); sleep 0.3; done
echo $i >&2
exit 7
"""
SLEEPERS = "trap '' TERM; setsid sleep 1000 & (setsid sleep 1001 &) ; while :; do sleep 1; done"
HELD = 4 + 3  # processes: of that task, and of what holds its sandbox


def sh(script: str) -> dict[str, object]:
    """A payload."""
    return {"execution": {"command": ["sh", "-c", script]}}


async def main() -> int:
    """All acts; the exit code is the number of what failed, up to 1."""
    checks = Checks()
    try:
        await started(checks)
        async with Supervisor(patience=300, connect_timeout=120) as runner:
            await tasks_are_contained(checks, runner, (pid(KEEPER), pid(DAEMON)))
            following = await long_task(runner)
            await configuration(checks)
            await comes_back(checks, runner)
            await keeper_is_replaced(checks, runner)
            await stops_alone(checks)
            await long_task_ended(checks, runner, following)
            await keeper_dies(checks, runner)
            await keeper_stops(checks, runner)
        await all_stops(checks)
    except Exception as error:  # noqa: BLE001 - the summary must come, whatever happened
        checks.that(False, "the acts go on to their end", error)
    if checks.failed:
        print(said("journalctl", "--no-pager", "-n", "80", "-u", DAEMON, "-u", KEEPER))
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return min(checks.failed, 1)


async def started(checks: Checks) -> None:
    verified = said("systemd-analyze", "verify", f"{DAEMON}.service", f"{KEEPER}.service")
    checks.that(verified == "", "systemd finds no fault in the units", verified)
    code = await systemctl("start", DAEMON)
    checks.that(code == 0 and show(DAEMON, "ActiveState") == "active", "the daemon starts", code)
    checks.that(log("serving"), "systemd waited until it was ready")
    checks.that(show(KEEPER, "ActiveState") == "active", "the keeper was started with it")
    facts = status(pid(DAEMON))
    own = pwd.getpwnam("env-runner").pw_uid
    checks.that(uid(pid(DAEMON)) == own and own != 0, "the daemon has a user of its own", facts)
    no_caps = int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    checks.that(no_caps, "it has no capability, and can get none", facts["CapBnd"])
    checks.that(facts["Seccomp"] == "2", "its system calls are filtered", facts["Seccomp"])
    checks.that(uid(pid(KEEPER)) == 0, "the keeper is root")
    scores = [Path(f"/proc/{pid(each)}/oom_score_adj").read_text() for each in (DAEMON, KEEPER)]
    checks.that(scores == ["-900\n"] * 2, "the kernel takes neither for memory", scores)
    version = said(f"{OPT}/current/bin/env-runner", "info")
    checks.that("by cgroup" in version, "the command reaches it, and tells of cgroups", version)


class Following:
    """What a client hears of the long task's output, over one call that goes on by itself."""

    def __init__(self, runner: Supervisor) -> None:
        self.heard = {v1.OUTPUT_STREAM_STDOUT: b"", v1.OUTPUT_STREAM_STDERR: b""}
        self.reading = asyncio.create_task(self._read(runner))

    async def _read(self, runner: Supervisor) -> None:
        async for chunk in runner.output("long"):
            if chunk.data:  # the last one has none, and no stream
                self.heard[chunk.stream] += chunk.data

    @property
    def stdout(self) -> bytes:
        return self.heard[v1.OUTPUT_STREAM_STDOUT]


async def long_task(runner: Supervisor) -> Following:
    await runner.assign(sh(LONG), task_class="cpu_long", task_id="long")
    following = Following(runner)
    await until(lambda: b"1\n" in following.stdout)
    return following


async def configuration(checks: Checks) -> None:
    before, good = pid(DAEMON), CONFIG.read_text()
    CONFIG.write_text(good + "\n[state]\nretention = -1\n")
    code = await systemctl("reload", DAEMON)
    fault = re.search("config.toml:[0-9]+: state.retention", said("journalctl", "-u", DAEMON))
    checks.that(code != 0 and fault, "a reload of a faulty configuration fails, and says where")
    await systemctl("kill", "--kill-who=main", "--signal=HUP", DAEMON)
    refused = await until(lambda: log("configuration not reloaded"))
    problem = str(log("configuration not reloaded"))
    named = re.search("config.toml:[0-9]+: state.retention", problem)
    checks.that(refused and named, "and so does the daemon, told of it by SIGHUP", problem)
    CONFIG.write_text(good + "\n[classes.cpu_short]\nmax_running = 3\n")
    await systemctl("reload", DAEMON)
    taken = await until(lambda: log("configuration reloaded"))
    checks.that(taken, "a good one is taken")
    active = show(DAEMON, "ActiveState"), pid(DAEMON)
    checks.that(active == ("active", before), "and the daemon goes on through all of it", active)
    environment = ("STATE_DIRECTORY=/var/lib/env-runner", "RUNTIME_DIRECTORY=/run/env-runner")
    command = ["runuser", "-u", DAEMON, "--", "env", *environment]
    command += ["ENV_RUNNER_LOGGING__DIRECTORY=", f"{OPT}/current/bin/env-runner", "serve"]
    second = subprocess.run(command, check=False, capture_output=True, text=True)
    one_line = second.stderr.count("\n") == 1 and "another daemon" in second.stderr
    checks.that(second.returncode == 75 and one_line, "a second daemon leaves with 75", second)


async def comes_back(checks: Checks, runner: Supervisor) -> None:
    def seen(old: int) -> bool:
        return pid(DAEMON) not in (0, old) and show(DAEMON, "ActiveState") == "active"

    old = pid(DAEMON)
    code = await systemctl("restart", DAEMON)
    checks.that(code == 0 and seen(old), "a restart is done when the new one is ready", code)
    task = await runner.get("long")
    checks.that(task.state == v1.TASK_STATE_RUNNING, "and the task runs on", task.state)

    old = pid(DAEMON)
    os.kill(old, signal.SIGKILL)
    checks.that(await until(lambda: seen(old)), "killed with -9 it comes back by itself")
    task = await runner.get("long")
    checks.that(task.state == v1.TASK_STATE_RUNNING, "and the task runs on", task.state)

    drop_in = Path(f"/run/systemd/system/{DAEMON}.service.d")
    drop_in.mkdir(parents=True)
    (drop_in / "vm.conf").write_text("[Service]\nWatchdogSec=15s\nTimeoutAbortSec=2s\n")
    await systemctl("daemon-reload")
    await systemctl("restart", DAEMON)
    old, restarts = pid(DAEMON), int(show(DAEMON, "NRestarts"))
    await asyncio.sleep(20)  # longer than the watchdog's time: it must be the pings that count
    checks.that(pid(DAEMON) == old, "a daemon whose loop turns is left alone by the watchdog")
    os.kill(old, signal.SIGSTOP)
    checks.that(await until(lambda: seen(old)), "one that hangs is ended and comes back")
    counted = (
        int(show(DAEMON, "NRestarts")) - restarts,
        said("journalctl", "-u", DAEMON, "-o", "cat"),
    )
    by_watchdog = counted[0] == 1 and "Watchdog timeout" in counted[1]
    checks.that(by_watchdog, "which was the watchdog's doing", counted)
    task = await runner.get("long")
    checks.that(task.state == v1.TASK_STATE_RUNNING, "and the task runs on", task.state)


async def keeper_is_replaced(checks: Checks, runner: Supervisor) -> None:
    """By another version, that is this one under another name, as `install.sh` leaves it."""
    version, keeper = (OPT / "current").readlink(), pid(KEEPER)
    shutil.copytree(OPT / version, OPT / "next", symlinks=True)
    package = next((OPT / "next").glob("lib/python3*/site-packages/runner/__init__.py"))
    package.write_text(re.sub(r'__version__ = ".*"', '__version__ = "9.9.9"', package.read_text()))
    (OPT / "current.new").symlink_to("next")
    (OPT / "current.new").rename(OPT / "current")
    code = await systemctl("reload", KEEPER)
    new = await until(
        lambda: [line for line in log("keeper connected") if line["version"] == "9.9.9"]
    )
    checks.that(
        code == 0 and new, "a reloaded keeper is of the new version", log("keeper connected")
    )
    checks.that(pid(KEEPER) == keeper, "and the same process as before", pid(KEEPER))
    task = await runner.get("long")
    checks.that(task.state == v1.TASK_STATE_RUNNING, "and the task runs on", task.state)


async def stops_alone(checks: Checks) -> None:
    await systemctl("stop", DAEMON)
    asked, exited = (moment(DAEMON, name) for name in ("ActiveExit", "ExecMainExit"))
    took = exited - asked  # systemd's own word: starting systemctl takes its time here
    ended = show(DAEMON, "Result"), show(DAEMON, "ExecMainStatus"), round(took, 1)
    checks.that(ended[:2] == ("success", "0"), "the daemon stops with exit code 0", ended)
    checks.that(took < 5, "in under five seconds, also on a processor that is emulated", ended)
    checks.that(processes_of(TASK_USERS), "and the task runs on, with no daemon there")
    await asyncio.sleep(1)  # the task writes meanwhile
    await systemctl("start", DAEMON)


async def long_task_ended(checks: Checks, runner: Supervisor, following: Following) -> None:
    os.kill(int((await runner.get("long")).attempts[-1].handle), signal.SIGUSR1)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(following.reading, 120)
    task = await runner.get("long")
    ends = task.state == v1.TASK_STATE_FAILED and task.attempts[-1].exit_code == 7
    checks.that(ends, "after all of that it ends as it ended", str(task.failure))
    checks.that(len(task.attempts) == 1, "in its first attempt", len(task.attempts))
    written = following.heard[v1.OUTPUT_STREAM_STDERR].decode()
    lines = ["begin", *map(str, range(int(written or 0)))]
    exact = following.stdout.decode() == "".join(f"{line}\n" for line in lines)
    checks.that(exact, f"each of its {len(lines)} lines came once, in order, over one call",
                following.stdout[-300:])  # fmt: skip


async def keeper_dies(checks: Checks, runner: Supervisor) -> None:
    await runner.assign(sh(SLEEPERS), task_class="cpu_long", task_id="orphan")
    await until(lambda: len(processes_of(TASK_USERS)) >= HELD)
    daemon, old = pid(DAEMON), pid(KEEPER)
    os.kill(old, signal.SIGKILL)
    back = await until(lambda: pid(KEEPER) not in (0, old))
    checks.that(back, "a keeper killed with -9 comes back")
    checks.that(await until(lambda: not processes_of(TASK_USERS)), "nothing of its tasks is left")
    await lost(checks, runner, "orphan", "died")
    checks.that(pid(DAEMON) == daemon, "and the daemon went on through it", pid(DAEMON))


async def keeper_stops(checks: Checks, runner: Supervisor) -> None:
    await runner.assign(sh(SLEEPERS), task_class="cpu_long", task_id="stopped")
    await until(lambda: len(processes_of(TASK_USERS)) >= HELD)
    daemon = pid(DAEMON)
    code = await systemctl("stop", KEEPER)
    checks.that(code == 0 and not processes_of(TASK_USERS), "a keeper that stops leaves no process",
                processes_of(TASK_USERS))  # fmt: skip
    checks.that(pid(DAEMON) == daemon, "and takes no daemon along", pid(DAEMON))
    await systemctl("start", KEEPER)
    await lost(checks, runner, "stopped", "was stopped")
    result = await runner.run(sh("echo again"))
    checks.that(result.completed, "with the next one tasks run again", str(result.task.failure))


async def lost(checks: Checks, runner: Supervisor, task_id: str, word: str) -> None:
    async for _ in runner.watch([task_id], now=True, until_done=True):
        pass
    failure = (await runner.get(task_id)).failure
    right = failure.reason == v1.FAILURE_REASON_LOST and word in failure.message
    checks.that(right, "they are told as lost, and why", str(failure))


async def all_stops(checks: Checks) -> None:
    await systemctl("stop", DAEMON, KEEPER)
    states = [show(each, "ActiveState") for each in (DAEMON, KEEPER)]
    checks.that(states == ["inactive"] * 2, "both stop", states)
    left = processes_of({*TASK_USERS, pwd.getpwnam("env-runner").pw_uid})
    groups = list(Path("/sys/fs/cgroup/system.slice").glob("env-runner*"))
    there = {str(each) for each in Path("/run").glob("env-runner*/*")}
    files = sorted(there - {"/run/env-runner/supervisor.sock.lock", "/run/env-runner/gpus"})
    leases = [each.name for each in Path("/run/env-runner/gpus").iterdir() if each.stat().st_size]
    what = (left, groups, files, leases)
    checks.that(not any(what), "nothing is left but the locks, which nobody holds", what)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
