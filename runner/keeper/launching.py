"""Prepares an attempt's directory, record and cgroup, and starts its program.

NAME/launch.json, exit.json          the keeper's own (records.py)
NAME/output/{stdout,stderr,index}    readable by the daemon's group
NAME/disk/{workspace,task,tmp,shm}   the task user's own: all that a task can write to; the
                                     last one in the strict sandbox alone
NAME/kept/{workspace,task}           what of that outlives a disk in memory
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Any

from runner.keeper import output, records, spawn, tracing
from runner.keeper.attempt import Attempt, Host, Sandbox, now
from runner.keeper.bubblewrap import WORKSPACE
from runner.keeper.cgroups_group import Group
from runner.keeper.disk import DISK
from runner.keeper.entering import Entering
from runner.keeper.keeping import KEPT
from runner.keeper.output import Output
from runner.keeper.sandbox import Holder
from runner.keeper.space import Space
from runner.keeper.spawn import User
from runner.keeper.view import Sandboxes

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CONTEXT_LIMIT = 1024 * 1024
_OF_THE_SANDBOX = 3  # processes: bwrap outside and inside, and its shell
_LEADING_IN = 1  # on top of those until the program is inside


class StartFailed(Exception):
    """Nothing was started. `stage` says at what, `number` is the errno."""

    def __init__(self, stage: str, number: int, text: str = "") -> None:
        super().__init__(f"{stage}: {text or os.strerror(number)}")
        self.stage = stage
        self.number = number
        self.text = text


class Preparation:
    """All that an attempt needs before its program can be started. `user` is whom it runs as,
    None for the keeper's own; `reader` is the group that may read the output."""

    def __init__(
        self, host: Host, request: dict[str, Any], user: User | None, given: list[int], reader: int
    ) -> None:
        """`given` are the request's descriptors, which stay the caller's. Raises StartFailed;
        then nothing is left but the directory."""
        self.host = host
        self.request = request
        self.name: str = request["name"]
        self.user = user
        self.stage = "directory"
        self._calls = b""
        self._opened = contextlib.ExitStack()
        self._unused = contextlib.ExitStack()  # what belongs to the attempt, once there is one
        try:
            self._prepare(given, reader)
        except OSError as error:
            raise self.failed(error) from error

    def _prepare(self, given: list[int], reader: int) -> None:
        own = self._directory(self.host.directory, self.name, 0o711)
        out = self._directory(own, "output", 0o750, (-1, reader))
        disk = self._disk(own, os.fstat(given[-1]).st_size if self.request["context"] else 0)
        self.stage = "directory"
        workspace = self._directory(disk, "workspace", 0o700, self.user)
        task = self._directory(disk, "task", 0o700, self.user)
        for name in ("tmp", "shm") if self.request["level"] == "strict" else ("tmp",):
            self._directory(disk, name, 0o700, self.user)  # its TMPDIR, at every level
        given_stdin = self.request["stdin"]
        stdin = os.dup(given[0]) if given_stdin else os.open("/dev/null", os.O_RDONLY)
        self._opened.callback(os.close, stdin)
        _context(task, given[-1] if self.request["context"] else None)
        self.stage = "working_dir"
        self._cwd = self._working_directory(workspace, self.request["cwd"])
        self.stage = "output"
        pipes = []
        for _ in range(2):
            pipes.append(output.pipe())
            self._unused.callback(os.close, pipes[-1][0])
            self._opened.callback(os.close, pipes[-1][1])
        self._stdio = (stdin, pipes[0][1], pipes[1][1])
        self.copy = Output(out, (pipes[0][0], pipes[1][0]), self.request["output"])
        self._unused.pop_all()
        self._unused.callback(self.copy.close)
        for file in (self.copy.streams[1].file, self.copy.streams[2].file, self.copy.index):
            os.fchown(file, -1, reader)
            os.fchmod(file, 0o640)  # whatever the umask
        self.stage = "record"
        self._record = self._launch_record()
        records.reserve(own, records.EXIT)
        self._file = records.create(own, records.LAUNCH, self._record)
        self._opened.callback(os.close, self._file)
        self.stage = "cgroup"
        self._join: tuple[int, list[int]] = (-1, [])
        if self.host.cgroups is not None:
            membership = self.host.cgroups.create(self.name, self._limits())
            self._opened.callback(membership.close)
            self._join = (membership.directory, membership.files)

    def _disk(self, own: int, extra: int) -> int:
        """Where the task may write; in memory where it is sized."""
        disk = self._directory(own, DISK, 0o711)
        size = self.request["limits"]["disk"]
        if size is None:
            return disk
        self.stage = "disk"
        self.host.disks.mount(self.name, size, extra)
        return self._directory(own, DISK, 0o711)  # what is mounted there now

    def _launch_record(self) -> records.Record:
        cgroups = self.host.cgroups
        return {
            "name": self.name,
            "task_id": self.request["task_id"],
            "instance": self.host.instance,
            "boot_id": self.host.boot_id,
            "cgroup": "" if cgroups is None else cgroups.record(self.name),
            "pid": 0,
            "start_ticks": 0,
            "start_time": time.time_ns(),
            "start_boot": now(),
            "level": self.request["level"],
            "uid": os.geteuid() if self.user is None else self.user[0],
            "disk": self.request["limits"]["disk"],
            "mounts": len(self.request["mounts"]),
            **{key: _nanoseconds(self.request[key]) for key in ("wall", "idle", "grace")},
        }

    def _limits(self) -> dict[str, float | None]:
        """Those of the cgroup. What lies on a disk in memory counts as memory."""
        limits = self.request["limits"]
        memory = limits["memory"] and limits["memory"] + (limits["disk"] or 0)
        processes = limits["processes"]
        if processes is not None and self.request["level"] == "strict":
            processes += _OF_THE_SANDBOX + _LEADING_IN
        return {"memory": memory, "cpu": limits["cpu"], "processes": processes}

    def start(self) -> Attempt:
        """Start the program on the host as it is. Raises StartFailed."""
        self.stage = "fork"
        try:
            program = self._program(self._cwd, confined=self.request["level"] != "none")
            return self._started(*spawn.start(program, *self._join))
        except OSError as error:
            raise self.failed(error) from error

    def hold(self, sandboxes: Sandboxes) -> Holder:
        """Begin the sandbox that the program is to enter; the holder is the caller's. Raises
        StartFailed."""
        assert sandboxes.bubblewrap is not None  # noqa: S101 - else strict was refused
        self._calls = sandboxes.bubblewrap.calls
        self.stage = "mounts"
        try:
            network = self.request["network"] == "host"
            view = sandboxes.view(self.name, self.request["mounts"], network=network)
            self.stage = "sandbox"
            return Holder.start(sandboxes.bubblewrap, view, self.user, *self._join)
        except OSError as error:
            raise self.failed(error) from error

    def enter(self, holder: Holder, space: Space) -> Entering:
        """Send the program into its sandbox, which is ready. Raises StartFailed."""
        self.stage = "fork"
        self._record["start_time"], self._record["start_boot"] = time.time_ns(), now()
        self._record["first"] = [space.first, space.start_ticks]
        try:
            cwd = os.path.join(WORKSPACE, self.request["cwd"]).rstrip("/")
            program = self._program(cwd, confined=True)
            return Entering(holder, program, *self._join, self._tighten)
        except OSError as error:
            raise self.failed(error) from error

    def _tighten(self) -> None:
        """Count those that hold the sandbox, and no more, beside the task. Raises OSError."""
        processes = self.request["limits"]["processes"]
        if processes is not None and self.host.cgroups is not None:
            self.host.cgroups.limit(self.name, "processes", processes + _OF_THE_SANDBOX)

    def entered(self, pid: int, exec_pipe: int, holder: Holder, own: set[int]) -> Attempt:
        """The attempt whose program has that pid in the sandbox; `own` are the processes that
        make the sandbox."""
        return self._started(pid, exec_pipe, Sandbox(holder, own))

    def group(self) -> Group | None:
        """Its cgroup, where there are such."""
        return Group(self._record["cgroup"]) if self._record["cgroup"] else None

    def _program(self, directory: int | str, *, confined: bool) -> spawn.Program:
        argv, env = self.request["argv"], self.request["env"]
        return spawn.Program(
            argv, env, directory, self._stdio, self.user, confined=confined, calls=self._calls
        )

    def _started(self, pid: int, exec_pipe: int, sandbox: Sandbox | None = None) -> Attempt:
        self._unused.pop_all()
        self._record["pid"] = pid
        process = tracing.look(pid)
        self._record["start_ticks"] = process.start_ticks if process is not None else 0
        with contextlib.suppress(OSError):  # it runs: a full disk changes nothing about that
            records.update(self._file, self._record)
        self._opened.close()
        launch = {**self._record, "keep": self.request["keep"]}  # may be long: not in the file
        return Attempt(self.host, launch, self.copy, exec_pipe, sandbox)

    def failed(self, error: OSError, text: str = "") -> StartFailed:
        """Undo it, and say why."""
        if self.stage in ("fork", "sandbox") and _over_memory(self.group()):
            self.stage, error = "memory", OSError(errno.ENOMEM, text)
        self._unused.close()
        self._opened.close()
        with contextlib.suppress(OSError):
            os.unlink(f"{self.name}/{records.LAUNCH}", dir_fd=self.host.directory)
        if self.host.cgroups is not None:
            self.host.cgroups.remove(self.name)
        with contextlib.suppress(OSError):  # `remove` tries again
            self.host.disks.unmount(self.name)
        return StartFailed(self.stage, error.errno or errno.EIO, text)

    def _directory(self, parent: int, name: str, mode: int, owner: User | None = None) -> int:
        """The directory of that name, made where it is not there; open until it is started."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=parent)
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
        self._opened.callback(os.close, directory)
        os.fchmod(directory, mode)
        if owner is not None:
            os.fchown(directory, *owner)
        return directory

    def _working_directory(self, workspace: int, path: str) -> int:
        directory = workspace
        for part in path.split("/"):
            if part == "..":
                raise OSError(errno.EINVAL, "leads out of the workspace")
            if part not in ("", "."):
                directory = self._directory(directory, part, 0o700, self.user)
        return directory


def place(root: int, name: str, which: str) -> int:
    """An attempt's workspace or task directory, open, wherever it lies by now: on its disk, in
    what was kept of one in memory, or where earlier versions had it. Raises OSError."""
    for where in (DISK, KEPT):
        with contextlib.suppress(FileNotFoundError):
            return os.open(f"{name}/{where}/{which}", _DIRECTORY, dir_fd=root)
    return os.open(f"{name}/{which}", _DIRECTORY, dir_fd=root)


def _context(directory: int, source: int | None) -> None:
    """Leave the context where the task finds it: `{}` where the payload has none."""
    data = b"{}" if source is None else os.pread(source, _CONTEXT_LIMIT, 0)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    file = os.open("context.json", flags, 0o644, dir_fd=directory)
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
