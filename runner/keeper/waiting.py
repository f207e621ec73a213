"""A child that was forked ahead and waits to be told its program: most of what comes before an exec
is done by then, and the fork itself, which for a process of this size takes longest.

It has its user, its cgroup and its limits already, no descriptor but its own, and in a sandbox it
is in there. It ends with the keeper, whose end of the channel then closes. Not here: what any child
does (`spawn.py`), how one comes into a sandbox (`entering.py`).
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Sequence

from runner.keeper import spawn, syscalls
from runner.keeper.bubblewrap import data
from runner.keeper.spawn import Program, Stage, User

_FILES = 3  # the order, stdin, and the working directory where that is an open one


class Waiting:
    """One such child. `pid` and `exec_pipe` are as `spawn.start` returns them, and become the
    caller's with `order`; until then `close` ends it."""

    def __init__(self, pid: int, exec_pipe: int, channel: socket.socket) -> None:
        """Raises OSError; then the descriptors are still the caller's."""
        self._process = os.pidfd_open(pid)
        self.pid = pid
        self.exec_pipe = exec_pipe
        self._channel = channel

    @classmethod
    def start(
        cls,
        streams: tuple[int, int],
        user: User | None,
        cgroup: int,
        joined: Sequence[int],
        *,
        confined: bool,
    ) -> Waiting:
        """Fork one that is to run on the host as it is. Raises OSError."""
        mine, its = channel()
        try:
            reading, writing = spawn.error_pipe()
            try:
                pid = spawn.fork(cgroup)
                if pid == 0:
                    spawn.run(
                        writing,
                        lambda stage: _wait(
                            (streams, user, joined), its, writing, stage, confined=confined
                        ),
                    )
            except OSError:
                os.close(reading)
                raise
            finally:
                os.close(writing)
        except OSError:
            mine.close()
            raise
        finally:
            its.close()
        return cls(pid, reading, mine)

    @property
    def alive(self) -> bool:
        """Whether it is there still."""
        ended = select.poll()  # unlike select, of any number
        ended.register(self._process, select.POLLIN)
        return not ended.poll(0)

    def order(self, program: Program) -> None:
        """Have it become that program; what goes wrong is told by the error pipe. Raises OSError
        where it is not there to be told."""
        words: dict[str, object] = {
            "argv": [word.decode() for word in program.argv],
            "env": {key.decode(): value.decode() for key, value in program.env.items()},
            "rlimits": list(program.rlimits),
        }
        files = [data(b""), program.stdio[0]]
        try:
            if isinstance(program.directory, str):
                words["directory"] = program.directory
            else:
                files.append(program.directory)
            os.pwrite(files[0], json.dumps(words).encode(), 0)
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))]
            self._channel.sendmsg([b"!"], rights, socket.MSG_DONTWAIT)
        finally:
            os.close(files[0])
        self._let_go()

    def close(self) -> None:
        """End it; it is still to be reaped."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._process, signal.SIGKILL)
        self._let_go()
        os.close(self.exec_pipe)

    def _let_go(self) -> None:
        self._channel.close()
        os.close(self._process)


def channel() -> tuple[socket.socket, socket.socket]:
    """The keeper's end and the child's. Raises OSError."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)


def _wait(
    place: tuple[tuple[int, int], User | None, Sequence[int]],
    channel: socket.socket,
    writing: int,
    stage: Stage,
    *,
    confined: bool,
) -> None:
    """What the child does."""
    streams, user, joined = place
    os.setsid()
    spawn.join(joined, stage)
    take_streams(streams, stage)
    syscalls.close_all_but(writing, channel.fileno())
    spawn.set_limits(stage)
    if confined:
        spawn.bound_capabilities(stage)  # as root: no other user may
    spawn.become(user, stage)
    become_what_is_ordered(channel, writing, b"", stage, confined=confined)


def take_streams(streams: tuple[int, int], stage: Stage) -> None:
    """Take the two that are written to; what is read from comes with the order."""
    stage[0] = "stdio"
    for target, source in enumerate(streams, 1):
        os.dup2(source, target)


def become_what_is_ordered(
    channel: socket.socket, writing: int, calls: bytes, stage: Stage, *, confined: bool
) -> None:
    """Wait for the order, then do what it says. Ends where the keeper has gone, and raises what
    goes wrong."""
    said, files, _, _ = socket.recv_fds(channel, 1, _FILES, socket.MSG_CMSG_CLOEXEC)
    if not said:
        os._exit(0)
    order = json.loads(os.pread(files[0], os.fstat(files[0]).st_size, 0))
    stage[0] = "stdio"
    os.dup2(files[1], 0)
    stage[0] = "limits"
    spawn.lower_limits(order["rlimits"])
    program = Program(order["argv"], order["env"], "", (0, 1, 2), None, calls=calls)
    stage[0] = "working_dir"
    if "directory" not in order:
        os.chdir(files[2])
    # really closed, and before a path is gone to: see `entering.py`
    syscalls.close_all_but(writing)
    if "directory" in order:
        os.chdir(order["directory"])
    if confined:
        spawn.confine(program, stage)
    spawn.execute(program, stage)
