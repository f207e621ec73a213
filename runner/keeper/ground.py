"""The ground that an attempt will stand on: directory, disk, output, cgroup, user and sandbox, all
that does not depend on which program is run. Made for a launch, or ahead of it (`ahead.py`).

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
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

from runner.keeper import output, records, tracing
from runner.keeper.attempt import Host
from runner.keeper.cgroups_group import Group
from runner.keeper.device_rules import Rules
from runner.keeper.devices import Device, majors
from runner.keeper.disk import DISK
from runner.keeper.entering import Entering, EnteringFailed
from runner.keeper.output import Output
from runner.keeper.sandbox import Holder
from runner.keeper.space import Space
from runner.keeper.spawn import Program, User
from runner.keeper.view import Sandboxes, Wanted
from runner.keeper.waiting import Waiting, channel

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
OF_THE_SANDBOX = 3  # processes: bwrap outside and inside, and its shell
_LEADING_IN = 1  # on top of those until the program is inside


class StartFailed(Exception):
    """Nothing was started. `stage` says at what, `number` is the errno."""

    def __init__(self, stage: str, number: int, text: str = "") -> None:
        super().__init__(f"{stage}: {text or os.strerror(number)}")
        self.stage = stage
        self.number = number
        self.text = text


class Shape(NamedTuple):
    """What grounds differ in. `user` is whom the task runs as, None for the keeper's own or, where
    `pooled`, for one of the pool; `reader` is the group that may read the output; `extra` is the
    room in bytes that the keeper itself needs on a sized disk. `closed` are the kinds of devices
    (majors) that a task must not open, but for its own `devices`."""

    level: str
    network: str
    user: User | None
    pooled: bool
    reader: int
    memory: float | None
    cpu: float | None
    processes: float | None
    disk: int | None
    extra: int
    closed: tuple[int, ...] = ()
    devices: tuple[Device, ...] = ()

    @classmethod
    def of(
        cls,
        request: dict[str, Any],
        reader: int,
        *,
        pooled: bool,
        extra: int,
        devices: tuple[Device, ...] = (),
    ) -> Shape:
        """The shape that a launch asks for, on the host as it is now."""
        limits, user = request["limits"], request["user"]
        named = None if user is None or pooled else (user[0], user[1])
        return cls(
            request["level"],
            request["network"],
            named,
            pooled,
            reader,
            limits["memory"],
            limits["cpu"],
            limits["processes"],
            limits["disk"],
            extra,
            majors(),
            devices,
        )

    @property
    def rules(self) -> Rules | None:
        """Those of the cgroup for devices; None where there are no GPUs to be kept from."""
        opened = tuple((each.major, each.minor) for each in self.devices)
        return Rules(self.closed, opened) if self.closed else None

    @property
    def limits(self) -> dict[str, float | None]:
        """Those of the cgroup. What lies on a disk in memory counts as memory."""
        memory = self.memory and self.memory + (self.disk or 0)
        processes = self.processes
        if processes is not None and self.level == "strict":
            processes += OF_THE_SANDBOX + _LEADING_IN
        return {"memory": memory, "cpu": self.cpu, "processes": processes}


@contextlib.contextmanager
def _exact_modes() -> Iterator[None]:
    """Whom a directory lets in is right from its first moment: others may be looking already."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


class Ground:
    """`name` is that of its directory; `opened` are descriptors that are of no use once the
    program was started, `unused` those that are the attempt's then. `own` are the processes of its
    sandbox, each with its start in ticks, `space` is where they are, once it is ready."""

    def __init__(self, host: Host, shape: Shape, user: User | None, name: str) -> None:
        """Raises StartFailed; then nothing is left but the directory."""
        self.host, self.shape, self.user, self.name = host, shape, user, name
        self.holder: Holder | None = None
        self.space: Space | None = None
        self.own: dict[int, int] = {}
        self.waiting: Waiting | None = None  # a child that waits for its program
        self._leading: tuple[Entering, socket.socket] | None = None  # one that is on its way in
        self.opened = contextlib.ExitStack()
        self.unused = contextlib.ExitStack()
        self.join: tuple[int, list[int]] = (-1, [])
        # of its own: one of the same name may still be dying
        self._group_name = f"{name}.{time.monotonic_ns():x}"
        self.record = "" if host.cgroups is None else host.cgroups.record(self._group_name)
        self._stage = "directory"
        try:
            self._make()
        except OSError as error:
            stage = self._stage
            self.undo()
            raise StartFailed(stage, error.errno or errno.EIO) from error

    def _make(self) -> None:
        shape = self.shape
        self.directory = self.below(self.host.directory, self.name, 0o711)
        # by a name of its own until it is readable: who looks meanwhile finds nothing there yet
        made = "output" if self._has("output") else ".output"
        out = self.below(self.directory, made, 0o750, (-1, shape.reader))
        disk = self._disk()
        self._stage = "directory"
        self.workspace = self.below(disk, "workspace", 0o700, self.user)
        self.task = self.below(disk, "task", 0o700, self.user)
        for name in ("tmp", "shm") if shape.level == "strict" else ("tmp",):
            self.below(disk, name, 0o700, self.user)  # its TMPDIR, at every level
        self._stage = "output"
        pipes = []
        for _ in range(2):
            pipes.append(output.pipe())
            self.unused.callback(os.close, pipes[-1][0])
            self.opened.callback(os.close, pipes[-1][1])
        self.streams = (pipes[0][1], pipes[1][1])
        self.copy = Output(out, (pipes[0][0], pipes[1][0]), 0)
        self.unused.pop_all()
        self.unused.callback(self.copy.close)
        for file in (self.copy.streams[1].file, self.copy.streams[2].file, self.copy.index):
            os.fchown(file, -1, shape.reader)
            os.fchmod(file, 0o640)  # whatever the umask
        os.rename(made, "output", src_dir_fd=self.directory, dst_dir_fd=self.directory)
        self._stage = "record"
        records.prepare(self.directory, records.LAUNCH)
        records.reserve(self.directory, records.EXIT)
        self._stage = "cgroup"
        if self.host.cgroups is not None:
            membership = self.host.cgroups.create(self._group_name, shape.limits, shape.rules)
            self.opened.callback(membership.close)
            self.join = (membership.directory, membership.files)

    def _has(self, name: str) -> bool:
        """Whether an earlier launch of that name, which failed, has left it."""
        try:
            os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def _disk(self) -> int:
        """Where the task may write; in memory where it is sized."""
        disk = self.below(self.directory, DISK, 0o711)
        if self.shape.disk is None:
            return disk
        self._stage = "disk"
        self.host.disks.mount(self.name, self.shape.disk, self.shape.extra)
        return self.below(self.directory, DISK, 0o711)  # what is mounted there now

    def below(self, parent: int, name: str, mode: int, owner: User | None = None) -> int:
        """The directory of that name, made where it is not there; open until the start. Raises
        OSError."""
        with contextlib.suppress(FileExistsError), _exact_modes():
            os.mkdir(name, mode, dir_fd=parent)
        directory = os.open(name, _DIRECTORY, dir_fd=parent)
        self.opened.callback(os.close, directory)
        os.fchmod(directory, mode)
        if owner is not None:
            os.fchown(directory, *owner)
        return directory

    # --- its sandbox ------------------------------------------------------------------------

    def hold(self, sandboxes: Sandboxes, mounts: list[Wanted]) -> Holder:
        """Begin to make the sandbox. Raises StartFailed, also where a mount cannot be had."""
        assert sandboxes.bubblewrap is not None  # noqa: S101 - else strict was refused
        stage = "mounts"
        try:
            network = self.shape.network == "host"
            devices = tuple(each.path for each in self.shape.devices)
            view = sandboxes.view(self.name, mounts, network=network, devices=devices)
            stage = "sandbox"
            self.holder = Holder.start(sandboxes.bubblewrap, view, self.user, *self.join)
        except OSError as error:
            raise StartFailed(stage, error.errno or errno.EIO) from error
        return self.holder

    def look(self) -> bool:
        """Whether the sandbox is ready; call it when `holder.ready_fd` can be read. Raises
        HolderFailed, and OSError, ValueError or KeyError where it died meanwhile."""
        assert self.holder is not None  # noqa: S101 - see `hold`
        if self.space is None and self.holder.read():
            first = tracing.look(self.holder.first_pid)
            self.space = Space(self.holder.first_pid, 0 if first is None else first.start_ticks)
            found = map(tracing.look, (self.group() or self.space).processes())
            self.own = {each.pid: each.start_ticks for each in found if each is not None}
        return self.space is not None

    def lead_in(self, calls: bytes) -> int:
        """Send a child into the sandbox, which is ready, to wait there for its program, with
        `calls` to decide on system calls. The pid of who leads it in: once that has ended, call
        `led_in`. Raises OSError."""
        assert self.holder is not None  # noqa: S101 - it is ready
        mine, its = channel()
        stdio = (0, *self.streams)
        program = Program([], {}, "/", stdio, self.user, confined=True, calls=calls)
        try:
            entering = Entering(self.holder, program, *self.join, alone=self.tighten, channel=its)
        except OSError:
            mine.close()
            raise
        finally:
            its.close()
        self._leading = (entering, mine)
        return entering.pid

    @property
    def leading(self) -> int:
        """The pid of who leads a child in just now; 0 where nobody does."""
        return 0 if self._leading is None else self._leading[0].pid

    def led_in(self) -> Waiting:
        """The child that waits in there from now on. Raises EnteringFailed and OSError."""
        assert self._leading is not None  # noqa: S101 - see `lead_in`
        (entering, mine), self._leading = self._leading, None
        try:
            pid, exec_pipe = entering.read()
            try:
                self.waiting = Waiting(pid, exec_pipe, mine)
            except OSError:
                os.close(exec_pipe)
                raise
        except (EnteringFailed, OSError):
            entering.close()
            mine.close()
            raise
        return self.waiting

    def tighten(self) -> None:
        """Count those that hold the sandbox, and no more, beside the task. Raises OSError."""
        if self.shape.processes is not None and self.host.cgroups is not None:
            most = self.shape.processes + OF_THE_SANDBOX
            self.host.cgroups.limit(self._group_name, "processes", most)

    def wait(self) -> Waiting:
        """Have a child wait for its program, on the host as it is. Raises OSError."""
        confined = self.shape.level != "none"
        self.waiting = Waiting.start(self.streams, self.user, *self.join, confined=confined)
        return self.waiting

    # --- what becomes of it -----------------------------------------------------------------

    def give(self, name: str) -> None:
        """Let it be that attempt's from now on. Raises OSError."""
        if name != self.name:
            root = self.host.directory
            os.rename(self.name, name, src_dir_fd=root, dst_dir_fd=root)
            self.name = name

    def group(self) -> Group | None:
        """Its cgroup, where there are such."""
        return Group(self.record) if self.record else None

    def undo(self) -> None:
        """Let go of all but the directory, and of the sandbox, which is its owner's to end."""
        if self.waiting is not None:
            self.waiting.close()
            self.waiting = None
        if self._leading is not None:
            for each in self._leading:
                each.close()
            self._leading = None
        self.unused.close()
        self.opened.close()
        with contextlib.suppress(OSError):
            os.unlink(f"{self.name}/{records.LAUNCH}", dir_fd=self.host.directory)
        if self.host.cgroups is not None:
            self.host.cgroups.remove(self._group_name)
        with contextlib.suppress(OSError):  # `remove` tries again
            self.host.disks.unmount(self.name)
