"""Starts an attempt's program on its ground, and records that first.

Not here: the ground itself (`ground.py`), the time that a sandbox takes (`preparing.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import time
from collections.abc import Sequence
from typing import Any

from runner.keeper import records, spawn, tracing
from runner.keeper.attempt import Attempt, Sandbox, now
from runner.keeper.bubblewrap import WORKSPACE
from runner.keeper.cgroups_group import Group
from runner.keeper.disk import DISK
from runner.keeper.entering import Entering
from runner.keeper.ground import Ground, StartFailed
from runner.keeper.keeping import KEPT
from runner.keeper.sandbox import Holder
from runner.keeper.view import Sandboxes

__all__ = ["Preparation", "StartFailed", "place"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_GIVEN_LIMIT = 1024 * 1024  # bytes of what a launch gives: see defence.py
_CONTEXT = "context.json"
_OF_A_CALL = 64 * 1024


class Preparation:
    """All that an attempt needs before its program can be started."""

    def __init__(self, ground: Ground, request: dict[str, Any], given: list[int]) -> None:
        """The ground is this one's from now on. `given` are the request's descriptors, which
        stay the caller's. Raises StartFailed; then nothing is left but the directory."""
        self.ground = ground
        self.request = request
        self.name: str = request["name"]
        self.stage = "directory"
        self._calls = b""
        try:
            self._prepare(given)
        except OSError as error:
            raise self.failed(error) from error

    def _prepare(self, given: list[int]) -> None:
        ground = self.ground
        stdin = os.dup(given[0]) if self.request["stdin"] else os.open("/dev/null", os.O_RDONLY)
        ground.opened.callback(os.close, stdin)
        self._stdio = (stdin, *ground.streams)
        ground.copy.limit = self.request["output"]
        for name, source in inputs(self.request, given).items():
            _leave(ground.task, name, source)
        self.stage = "working_dir"
        self._cwd = self._working_directory(self.request["cwd"])
        self.stage = "record"
        self._record = self._launch_record()
        self._file = records.create(ground.directory, records.LAUNCH, self._record)
        ground.opened.callback(os.close, self._file)

    def _launch_record(self) -> records.Record:
        host, user = self.ground.host, self.ground.user
        return {
            "name": self.name,
            "task_id": self.request["task_id"],
            "instance": host.instance,
            "boot_id": host.boot_id,
            "cgroup": self.ground.record,
            "pid": 0,
            "start_ticks": 0,
            "start_time": time.time_ns(),
            "start_boot": now(),
            "level": self.request["level"],
            "uid": os.geteuid() if user is None else user[0],
            "disk": self.request["limits"]["disk"],
            "mounts": len(self.request["mounts"]),
            "devices": [each.path for each in self.ground.shape.devices],
            **{key: _nanoseconds(self.request[key]) for key in ("wall", "idle", "grace")},
        }

    def start(self) -> Attempt:
        """Start the program on the host as it is. Raises StartFailed."""
        self.stage = "fork"
        try:
            self.ground.give(self.name)
            program = self._program(self._cwd, confined=self.request["level"] != "none")
            found = self._ordered(program) or spawn.start(program, *self.ground.join)
            return self._started(*found)
        except OSError as error:
            raise self.failed(error) from error

    def hold(self, sandboxes: Sandboxes) -> Holder:
        """The sandbox that the program is to enter, begun where it was not made ahead; it is the
        caller's. Raises StartFailed."""
        assert sandboxes.bubblewrap is not None  # noqa: S101 - else strict was refused
        self._calls = sandboxes.calls
        try:
            return self.ground.holder or self.ground.hold(sandboxes, self.request["mounts"])
        except StartFailed as error:
            self.stage = error.stage
            raise self.failed(OSError(error.number, "")) from error

    def enter(self, holder: Holder) -> Entering | Attempt:
        """Send the program into its sandbox, which is ready, or have it run where a child waits
        in there. Raises StartFailed."""
        self.stage = "fork"
        space = self.ground.space
        assert space is not None  # noqa: S101 - it is ready
        self._record["start_time"], self._record["start_boot"] = time.time_ns(), now()
        self._record["first"] = [space.first, space.start_ticks]
        try:
            self.ground.give(self.name)
            cwd = os.path.join(WORKSPACE, self.request["cwd"]).rstrip("/")
            program = self._program(cwd, confined=True)
            found = self._ordered(program)
            if found is not None:
                return self._started(*found, Sandbox(holder, self.ground.own))
            return Entering(holder, program, *self.ground.join, alone=self.ground.tighten)
        except OSError as error:
            raise self.failed(error) from error

    def entered(self, pid: int, exec_pipe: int, holder: Holder) -> Attempt:
        """The attempt whose program has that pid in the sandbox."""
        return self._started(pid, exec_pipe, Sandbox(holder, self.ground.own))

    def _ordered(self, program: spawn.Program) -> tuple[int, int] | None:
        """The pid and the error pipe of the child that waited, and becomes the program; None
        where none did, or it has gone."""
        waiting, self.ground.waiting = self.ground.waiting, None
        if waiting is None:
            return None
        try:
            waiting.order(program)
        except OSError:
            waiting.close()
            return None
        return waiting.pid, waiting.exec_pipe

    def group(self) -> Group | None:
        """Its cgroup, where there are such."""
        return self.ground.group()

    def _program(self, directory: int | str, *, confined: bool) -> spawn.Program:
        argv, env, user = self.request["argv"], self.request["env"], self.ground.user
        return spawn.Program(
            argv,
            env,
            directory,
            self._stdio,
            user,
            confined=confined,
            calls=self._calls,
            rlimits=self._rlimits(),
        )

    def _rlimits(self) -> list[tuple[int, int]]:
        """That of processes is the kernel's count for a user: only where that is the task's own."""
        kinds = {"memory": resource.RLIMIT_DATA, "disk": resource.RLIMIT_FSIZE}
        if self.ground.shape.pooled:
            kinds["processes"] = resource.RLIMIT_NPROC
        asked = self.request["rlimits"]
        return [(kind, asked[name]) for name, kind in kinds.items() if asked[name] is not None]

    def _started(self, pid: int, exec_pipe: int, sandbox: Sandbox | None = None) -> Attempt:
        self.ground.unused.pop_all()
        self._record["pid"] = pid
        process = tracing.look(pid)
        self._record["start_ticks"] = process.start_ticks if process is not None else 0
        with contextlib.suppress(OSError):  # it runs: a full disk changes nothing about that
            records.update(self._file, self._record)
        self.ground.opened.close()
        kept = {key: self.request[key] for key in ("keep", "keep_always")}
        launch = {**self._record, **kept}  # may be long: not in the file
        return Attempt(self.ground.host, launch, self.ground.copy, exec_pipe, sandbox)

    def failed(self, error: OSError, text: str = "") -> StartFailed:
        """Undo it, and say why."""
        if self.stage in ("fork", "sandbox") and _over_memory(self.group()):
            self.stage, error = "memory", OSError(errno.ENOMEM, text)
        self.ground.undo()
        return StartFailed(self.stage, error.errno or errno.EIO, text)

    def _working_directory(self, path: str) -> int:
        directory = self.ground.workspace
        for part in path.split("/"):
            if part == "..":
                raise OSError(errno.EINVAL, "leads out of the workspace")
            if part not in ("", "."):
                directory = self.ground.below(directory, part, 0o700, self.ground.user)
        return directory


def place(root: int, name: str, which: str) -> int:
    """An attempt's workspace or task directory, open, wherever it lies by now: on its disk, in
    what was kept of one in memory, or where earlier versions had it. Raises OSError."""
    for where in (DISK, KEPT):
        with contextlib.suppress(FileNotFoundError):
            return os.open(f"{name}/{where}/{which}", _DIRECTORY, dir_fd=root)
    return os.open(f"{name}/{which}", _DIRECTORY, dir_fd=root)


def given(request: dict[str, Any]) -> int:
    """How many descriptors a launch brings."""
    return int(request["stdin"]) + int(request["context"]) + len(request.get("task_files", ()))


def inputs(request: dict[str, Any], given: Sequence[int]) -> dict[str, int | None]:
    """What is put into the task's own directory: by name, the descriptor of its bytes. There is
    always a context; None is one that the payload does not have."""
    rest = list(given[request["stdin"] :])
    context = rest.pop(0) if request["context"] else None
    return {_CONTEXT: context, **dict(zip(request.get("task_files", ()), rest, strict=True))}


def room(request: dict[str, Any], given: Sequence[int]) -> int:
    """Bytes that those take on a sized disk, in whole pages. Those of a call are rounded up, so
    that grounds made ahead fit most calls."""
    page = os.sysconf("SC_PAGESIZE")
    sizes = {
        name: -(-os.fstat(source).st_size // page) * page
        for name, source in inputs(request, given).items()
        if source is not None
    }
    context = sizes.pop(_CONTEXT, 0)
    return context + -(-sum(sizes.values()) // _OF_A_CALL) * _OF_A_CALL


def _leave(directory: int, name: str, source: int | None) -> None:
    """Put a file where the task finds it: `{}` where it has none."""
    data = b"{}" if source is None else os.pread(source, _GIVEN_LIMIT, 0)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    file = os.open(name, flags, 0o644, dir_fd=directory)
    try:
        os.fchmod(file, 0o644)
        if os.write(file, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(file)


def _over_memory(group: Group | None) -> bool:
    """Whether the kernel killed some of it for its own limit of memory."""
    return group is not None and group.facts()["oom_kills"] > 0


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)
