"""One attempt from its fork to its end: time limits, asking and killing, the exit record.

Told of everything by its owner (`loop.py`): output, exits, the passing of time. Times here are
nanoseconds on CLOCK_BOOTTIME, which no one can set and which goes on while a host sleeps.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import resource
import select
import signal
import time
from typing import Any, NamedTuple

from runner.keeper import keeping, records, spawn, tracing
from runner.keeper.cgroups import Cgroups
from runner.keeper.cgroups_group import Group
from runner.keeper.disk import DISK, Disks, Use
from runner.keeper.output import Output
from runner.keeper.records import Record
from runner.keeper.sandbox import Holder
from runner.keeper.space import Space
from runner.keeper.tracing import Kin

SETTLE = 1_000_000  # until what was killed is looked for again; doubles, up to the next
SETTLE_MOST = 50_000_000
KEEPER_STOPPED = "keeper"  # beside the verdicts of the protocol: nobody meant the task


_STATE = ("last_output", "stopped", "kill_at", "killed", "exit", "leftovers")


def now() -> int:
    """The time here."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Host:
    """What all attempts of a keeper share."""

    def __init__(self, root: str, instance: str, cgroups: Cgroups | None, disks: Disks) -> None:
        self.root = root
        self.disks = disks
        self.directory = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        self.instance = instance
        self.cgroups = cgroups
        with open("/proc/sys/kernel/random/boot_id") as file:
            self.boot_id = file.read().strip()
        self.mains: set[int] = set()  # pids of children that are no orphans


class Sandbox(NamedTuple):
    """What holds an attempt's sandbox: bubblewrap, and `own`, the processes that belong to that
    and not to the task, each by its pid with its start in ticks."""

    holder: Holder
    own: dict[int, int]


class Attempt:
    """A running attempt. `launch` is its record of that name, with pid and limits."""

    def __init__(
        self,
        host: Host,
        launch: Record,
        output: Output,
        exec_pipe: int,
        sandbox: Sandbox | None = None,
    ) -> None:
        self.host = host
        self.sandbox = sandbox
        self.launch = launch
        self.name: str = launch["name"]
        self.pid: int = launch["pid"]
        self.output = output
        self.exec_pipe = exec_pipe  # -1 once it is known that it was started
        self.group = _group(host, launch)
        self.last_output: int = launch["start_boot"]
        self.stopped: str | None = None
        self.kill_at: int | None = None
        self.killed = False
        self.exit: dict[str, Any] | None = None  # of the main process
        self.problem: tuple[str, int] | None = None  # why it was not started
        self.leftovers = 0
        self.settling = SETTLE
        self.alarm: int | None = None  # its owner's
        host.mains.add(self.pid)

    def wall_time(self, at: int) -> int:
        """Nanoseconds since the epoch, by the wall clock of its start."""
        start: int = self.launch["start_time"] + at - self.launch["start_boot"]
        return start

    def pump(self, stream: int, at: int) -> bool:
        """See `Output.pump`."""
        self.last_output = at
        return self.output.pump(stream, self.wall_time(at))

    def started(self) -> None:
        """Read the error pipe, which sets `problem` where there is one: it exits then.
        Raises BlockingIOError while nothing is known yet."""
        self.problem = spawn.problem(self.exec_pipe)
        os.close(self.exec_pipe)
        self.exec_pipe = -1
        if self.stopped is not None:
            self._terminate()  # the first one came before exec and may have been swallowed

    # --- time -------------------------------------------------------------------------------

    def due(self) -> int | None:
        """When `on_time` wants to be called, None for never."""
        if self.exit is not None:
            return now() + self.settling
        if self.stopped is not None:
            return self.kill_at
        times = []
        if self.launch["wall"] is not None:
            times.append(self.launch["start_boot"] + self.launch["wall"])
        if self.launch["idle"] is not None:
            times.append(self.last_output + self.launch["idle"])
        return min(times, default=None)

    def on_time(self, at: int) -> None:
        """Do what is due while the main process lives."""
        start, wall, idle = (self.launch[key] for key in ("start_boot", "wall", "idle"))
        if self.stopped is None and wall is not None and at >= start + wall:
            self.stop(at, self.launch["grace"], "wall_time")
        if self.stopped is None and idle is not None and at >= self.last_output + idle:
            self.stop(at, self.launch["grace"], "idle_time")
        if self.kill_at is not None and at >= self.kill_at:
            self.killed = True
            self.kill_at = at + SETTLE_MOST  # again, should it have been forking just now
            self.group.kill()

    def stop(self, at: int, grace: int, why: str) -> None:
        """Ask it to end; kill it after `grace`. The first reason and the earliest time stand."""
        if self.exit is not None:
            return
        self.kill_at = at + grace if self.kill_at is None else min(self.kill_at, at + grace)
        if self.stopped is None:
            self.stopped = why
            self._terminate()

    def _terminate(self) -> None:
        for number in (signal.SIGTERM, signal.SIGCONT):
            try:
                os.killpg(self.pid, number)  # not reaped yet: the number is nobody else's
            except ProcessLookupError:  # it has not come to setsid yet
                with contextlib.suppress(OSError):
                    os.kill(self.pid, number)
            except OSError:
                pass  # it became another user: the kill after the grace gets it

    # --- end --------------------------------------------------------------------------------

    def on_exit(self, status: int, usage: resource.struct_rusage, at: int) -> None:
        """The main process was reaped. Kills what it left; `settled` tells when that is gone."""
        self.exit = {
            "status": status,
            "at": at,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "max_memory_bytes": usage.ru_maxrss * 1024,
        }
        if not self.killed and self.group.populated():
            own = {self.pid, *({} if self.sandbox is None else self.sandbox.own)}
            seen = (tracing.look(pid) for pid in self.group.processes() if pid not in own)
            self.leftovers = sum(each is not None and not each.zombie for each in seen)
        if self.sandbox is not None:
            self.sandbox.holder.kill()

    def settled(self) -> bool:
        """Whether none of its processes is left; kills those that are. What holds its sandbox from
        outside is not waited for, unless nothing was started."""
        if not self.group.populated():
            return True
        if self.problem is None and self._empty_but_for_its_sandbox():
            return True
        self.settling = min(self.settling * 2, SETTLE_MOST)
        self.group.kill()
        return False

    def _empty_but_for_its_sandbox(self) -> bool:
        """Only once the first process of the sandbox has ended: with that the kernel has ended
        all inside, whatever threads or forks there were, and only bubblewrap outside is left."""
        if self.sandbox is None or not isinstance(self.group, Group):
            return False
        first = select.poll()
        first.register(self.sandbox.holder.first, select.POLLIN)
        return bool(first.poll(0)) and self.group.empty_but_for(self.sandbox.own)

    def finish(self) -> Record:
        """The record of its end; drains the output and closes what it held. Its group is still
        to be removed: that takes a while, and may be done once the end was told."""
        assert self.exit is not None  # noqa: S101 - the owner's order of calls
        self._leave_sandbox()
        self.output.drain(self.wall_time(now()))
        facts = self.group.facts()
        disk = self._disk_use()
        peak = facts["memory_peak"]
        status = self.exit["status"]
        lost = ""
        if self.stopped == KEEPER_STOPPED:
            lost = "the keeper was stopped, and the task with it"
        streams = self.output.streams
        return {
            **identity(self.launch),
            "exit_time": self.wall_time(self.exit["at"]),
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) and not lost else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) and not lost else None,
            "lost": lost,
            "stopped": None if lost else self.stopped,
            "killed": self.killed,
            "leftovers": self.leftovers,
            "cpu_seconds": self.exit["cpu_seconds"]
            if facts["cpu_seconds"] is None
            else facts["cpu_seconds"],
            "max_memory_bytes": self.exit["max_memory_bytes"] if peak is None else peak,
            "oom_kills": facts["oom_kills"],
            "pids_refused": facts["pids_refused"],
            "memory_peak": peak,
            "memory_limit": facts["memory_limit"],
            "disk_limit": self.launch.get("disk"),
            "disk_used": disk.used,
            "disk_full": disk.full,
            "disk_files": disk.files,
            "written": [streams[1].seen, streams[2].seen],
            "kept": [streams[1].kept, streams[2].kept],
            "cause": self.output.cause,
            "stderr_tail": base64.b64encode(self.output.tail).decode(),
            "reported": self._reported(),
        }

    def _reported(self) -> list[str]:
        """The files in which it tells something: mostly none, and then nobody has to ask."""
        task = f"{self.host.root}/{self.name}/{DISK}/task"
        return [file for file in keeping.TOLD if os.path.lexists(f"{task}/{file}")]

    def _leave_sandbox(self) -> None:
        if self.sandbox is not None:
            self.sandbox.holder.close()
            self.host.mains.discard(self.sandbox.holder.pid)
            self.sandbox = None

    def _disk_use(self) -> Use:
        size = self.launch.get("disk")  # an earlier version had none
        if size is None:
            return Use(0, full=False)
        try:
            used = self.host.disks.use(self.name)
        except OSError:  # it was removed by somebody who may
            return Use(0, full=False)
        return used._replace(used=min(used.used, size))

    def closing(self) -> keeping.Steps:
        """Put what outlives the disk in order, a little each step; then it is nobody's who may
        come to have the same user. Returns what was left out, as `keeping.keep` does. Raises
        OSError where not all could be kept."""
        left: dict[str, str] = {}
        disks, size = self.host.disks, self.launch.get("disk")
        try:
            if size is not None:
                directory = os.open(self.name, os.O_RDONLY, dir_fd=self.host.directory)
                try:
                    owners = {self.launch["uid"], os.geteuid()}
                    left = yield from keeping.keep(directory, self._kept(), owners, size)
                finally:
                    os.close(directory)
        finally:
            disks.unmount(self.name)
        return left

    def _kept(self) -> list[str]:
        """The patterns of what is wanted of a task that ended so."""
        assert self.exit is not None  # noqa: S101 - it has ended
        well = self.exit["status"] == 0 and self.stopped is None
        always: list[str] = self.launch.get("keep_always", [])  # an earlier version knew no such
        return [*self.launch["keep"], *always] if well else always

    def abandon(self) -> None:
        """It was never started, and its process has gone: forget that it was tried."""
        self._leave_sandbox()
        self.output.close()
        if self.group.facts()["oom_kills"]:
            self.problem = ("memory", errno.ENOMEM)
        with contextlib.suppress(OSError):  # `remove` tries again
            self.host.disks.unmount(self.name)
        directory = os.open(self.name, os.O_RDONLY, dir_fd=self.host.directory)
        os.unlink(records.LAUNCH, dir_fd=directory)
        os.close(directory)

    # --- across an exec ---------------------------------------------------------------------

    def dump(self) -> dict[str, Any]:
        """What `load` needs in the process that replaces this one."""
        keys = ("launch", "exec_pipe", "problem", *_STATE)
        state = {key: getattr(self, key) for key in keys}
        if self.sandbox is not None:
            state["holder"] = self.sandbox.holder.dump()
            state["own"] = sorted(self.sandbox.own.items())
        return {**state, "output": self.output.dump()}

    @property
    def descriptors(self) -> list[int]:
        """Those that have to stay open across an exec."""
        found = [stream.pipe for stream in self.output.streams.values()]
        found += [] if self.sandbox is None else self.sandbox.holder.descriptors
        return [each for each in (*found, self.exec_pipe) if each >= 0]

    @classmethod
    def load(cls, host: Host, state: dict[str, Any]) -> Attempt:
        """The attempt that `dump` described."""
        directory = os.open(f"{state['launch']['name']}/output", os.O_RDONLY, dir_fd=host.directory)
        output = Output.load(directory, state["output"])
        os.close(directory)
        sandbox = None
        if "holder" in state:
            known: list[Any] = state["own"]  # once, pids alone
            own = {int(each[0]): int(each[1]) for each in known if isinstance(each, list)}
            sandbox = Sandbox(Holder.load(state["holder"]), own)
            host.mains.add(sandbox.holder.pid)
        attempt = cls(host, state["launch"], output, state["exec_pipe"], sandbox)
        for key in _STATE:
            setattr(attempt, key, state[key])
        attempt.problem = state["problem"] and tuple(state["problem"])
        if attempt.exit is not None:
            host.mains.discard(attempt.pid)
        for file in attempt.descriptors:
            os.set_inheritable(file, False)
        return attempt


def _group(host: Host, launch: Record) -> Group | Space | Kin:
    if launch["cgroup"]:
        return Group(launch["cgroup"])
    if launch.get("first"):  # an earlier version had no sandbox
        return Space(*launch["first"])
    return Kin(launch["pid"], f"{host.root}/{launch['name']}", host.mains)


def identity(launch: Record) -> Record:
    """What the record of an end takes over from that of the launch."""
    keys = ("name", "task_id", "instance", "boot_id", "pid", "start_time")
    return {key: launch[key] for key in keys}
