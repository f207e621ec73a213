"""Prepares an attempt's directory and starts its program.

NAME/launch.json, exit.json      the keeper's own (records.py)
NAME/output/{stdout,stderr,index}    readable by the daemon's group
NAME/workspace/, NAME/task/          the task user's own
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Any

from runner.keeper import output, records, spawn, tracing
from runner.keeper.attempt import Attempt, Host, now
from runner.keeper.output import Output

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CONTEXT_LIMIT = 1024 * 1024


class StartFailed(Exception):
    """Nothing was started. `stage` says at what, `number` is the errno."""

    def __init__(self, stage: str, number: int) -> None:
        super().__init__(f"{stage}: {os.strerror(number)}")
        self.stage = stage
        self.number = number


def launch(host: Host, request: dict[str, Any], given: list[int], reader: int) -> Attempt:
    """Start what a launch request asks for. `given` are its descriptors, which stay the
    caller's; `reader` is the group that may read the output. Raises StartFailed."""
    stage = ["directory"]
    with contextlib.ExitStack() as opened:
        try:
            return _launch(host, request, (given, reader), stage, opened)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(f"{request['name']}/{records.LAUNCH}", dir_fd=host.directory)
            if host.cgroups is not None:
                host.cgroups.remove(request["name"])
            raise StartFailed(stage[0], error.errno or errno.EIO) from error


def _launch(
    host: Host,
    request: dict[str, Any],
    peer: tuple[list[int], int],
    stage: list[str],
    opened: contextlib.ExitStack,
) -> Attempt:
    name, user = request["name"], request["user"] and (request["user"][0], request["user"][1])
    given, reader = peer
    own = _directory(host.directory, name, 0o711, None, opened)
    out = _directory(own, "output", 0o750, (-1, reader), opened)
    workspace = _directory(own, "workspace", 0o700, user, opened)
    task = _directory(own, "task", 0o700, user, opened)
    stdin = given[0] if request["stdin"] else _closing(os.open("/dev/null", os.O_RDONLY), opened)
    _context(task, given[-1] if request["context"] else None)
    stage[0] = "working_dir"
    cwd = _working_directory(workspace, request["cwd"], user, opened)
    stage[0] = "output"
    with contextlib.ExitStack() as unused:  # what belongs to the attempt, once there is one
        pipes = []
        for _ in range(2):
            pipes.append(output.pipe())
            unused.callback(os.close, pipes[-1][0])
            _closing(pipes[-1][1], opened)
        copy = Output(out, (pipes[0][0], pipes[1][0]), request["output"])
        unused.pop_all()
        unused.callback(copy.close)
        for file in (copy.streams[1].file, copy.streams[2].file, copy.index):
            os.fchown(file, -1, reader)
            os.fchmod(file, 0o640)  # whatever the umask
        stage[0] = "record"
        group = host.cgroups.record(name) if host.cgroups is not None else ""
        record = {
            "name": name,
            "task_id": request["task_id"],
            "instance": host.instance,
            "boot_id": host.boot_id,
            "cgroup": group,
            "pid": 0,
            "start_ticks": 0,
            "start_time": time.time_ns(),
            "start_boot": now(),
            **{key: _nanoseconds(request[key]) for key in ("wall", "idle", "grace")},
        }
        records.reserve(own, records.EXIT)
        file = _closing(records.create(own, records.LAUNCH, record), opened)
        stage[0] = "cgroup"
        cgroup = None
        if host.cgroups is not None:
            membership = host.cgroups.create(name)
            opened.callback(membership.close)
            cgroup = membership.directory
        stage[0] = "fork"
        stdio = (stdin, pipes[0][1], pipes[1][1])
        program = spawn.Program(request["argv"], request["env"], cwd, stdio, user)
        pid, exec_pipe = spawn.start(program, cgroup)
        unused.pop_all()
    record["pid"] = pid
    process = tracing.look(pid)
    record["start_ticks"] = process.start_ticks if process is not None else 0
    with contextlib.suppress(OSError):  # it runs: a full disk changes nothing about that
        records.update(file, record)
    return Attempt(host, record, copy, exec_pipe)


def _closing(descriptor: int, opened: contextlib.ExitStack) -> int:
    opened.callback(os.close, descriptor)
    return descriptor


def _directory(
    parent: int, name: str, mode: int, owner: tuple[int, int] | None, opened: contextlib.ExitStack
) -> int:
    """The directory of that name, made where it is not there; open until `opened` closes."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=parent)
    directory = _closing(os.open(name, _DIRECTORY, dir_fd=parent), opened)
    os.fchmod(directory, mode)
    if owner is not None:
        os.fchown(directory, *owner)
    return directory


def _working_directory(
    workspace: int, path: str, user: tuple[int, int] | None, opened: contextlib.ExitStack
) -> int:
    directory = workspace
    for part in path.split("/"):
        if part == "..":
            raise OSError(errno.EINVAL, "leads out of the workspace")
        if part not in ("", "."):
            directory = _directory(directory, part, 0o700, user, opened)
    return directory


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


def _nanoseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1e9)
