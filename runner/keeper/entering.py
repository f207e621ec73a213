"""Starts a program inside a sandbox that is ready, as this process's own child.

A first child goes into the sandbox's namespaces; the second, made beside it so that this process
is its parent too, is born in its pid namespace and becomes the program. The first tells the pid
and ends; the second waits for that, so that only those count that the limit of processes has
room for. So wait status, usage, exec errors and signals are had as of any child, and no process
that the task could touch stands between. Not here: how the sandbox comes to be (sandbox.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence

from runner.keeper import spawn, syscalls, waiting
from runner.keeper.sandbox import Holder
from runner.keeper.spawn import Program, Stage


class EnteringFailed(Exception):
    """The sandbox could not be entered. `stage` says at what, `number` is the errno."""

    def __init__(self, stage: str, number: int) -> None:
        super().__init__(f"{stage}: {os.strerror(number)}")
        self.stage = stage
        self.number = number


def start(
    holder: Holder, program: Program, cgroup: int | None, joined: Sequence[int] = ()
) -> tuple[int, int]:
    """Start it in the sandbox of a holder that has said to be ready, in the cgroups as
    `spawn.start` does. Returns the pid and the error pipe, as that does. The program's directory
    is an absolute path in there. Raises EnteringFailed, and OSError where no fork was had."""
    first = Entering(holder, program, cgroup, joined)
    os.set_blocking(first.told, True)
    return first.read()


class Entering:
    """The same for who does not want to wait: `read` once `told` can be read."""

    def __init__(
        self,
        holder: Holder,
        program: Program,
        cgroup: int | None,
        joined: Sequence[int] = (),
        *,
        alone: Callable[[], object] = lambda: None,
        channel: socket.socket | None = None,
    ) -> None:
        """`alone` is called, and may raise OSError, once the first child is gone and before the
        second one goes on. Where there is a `channel`, the child's end, it then waits there for
        what to become (`waiting.py`); `program` is what is known beforehand."""
        self._alone = alone
        self._channel = channel
        gate, self._gate = os.pipe2(os.O_CLOEXEC)
        try:
            self._start(holder, program, cgroup, (gate, joined))
        except OSError:
            os.close(self._gate)
            raise
        finally:
            os.close(gate)

    def _start(
        self,
        holder: Holder,
        program: Program,
        cgroup: int | None,
        inherited: tuple[int, Sequence[int]],
    ) -> None:
        gate, joined = inherited
        self.told, telling = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self.exec_pipe, writing = spawn.error_pipe()
            try:
                self.pid = spawn.fork(cgroup)
                if self.pid == 0:
                    os.close(self._gate)
                    pipes = (telling, writing, gate)
                    spawn.run(
                        writing,
                        lambda stage: _outside(
                            holder, program, joined, (*pipes, self._channel), stage
                        ),
                    )
            except OSError:
                os.close(self.exec_pipe)
                raise
            finally:
                os.close(writing)
        except OSError:
            os.close(self.told)
            raise
        finally:
            os.close(telling)

    def read(self) -> tuple[int, int]:
        """The program's pid and its error pipe, which is the caller's. Raises BlockingIOError
        while nothing is told yet, EnteringFailed where it went wrong."""
        data = os.read(self.told, 32)  # more is never written
        gate, self._gate = self._gate, -1
        os.close(self.told)
        self.told = -1
        with contextlib.suppress(ChildProcessError):  # reaped by who waits for any child
            os.waitpid(self.pid, 0)  # it is about to exit, if it has not
        try:
            if data:
                self._alone()
                os.write(gate, b"\n")
                return int(data), self.exec_pipe
        except OSError:
            os.close(self.exec_pipe)
            raise
        finally:
            os.close(gate)
        try:
            found = spawn.problem(self.exec_pipe)
        finally:
            os.close(self.exec_pipe)
        raise EnteringFailed(*(found or ("sandbox", 5)))

    def close(self) -> None:
        """Give it up, where it was not read to its end; whoever is under way is to be killed."""
        if self.told >= 0:
            for descriptor in (self.told, self.exec_pipe, self._gate):
                os.close(descriptor)
            self.told = -1


def _outside(
    holder: Holder,
    program: Program,
    joined: Sequence[int],
    pipes: tuple[int, int, int, socket.socket | None],
    stage: Stage,
) -> None:
    """What the first child does, until it is the second one."""
    spawn.join(joined, stage)
    spawn.become(program.user, stage)
    stage[0] = "sandbox"
    syscalls.enter_namespaces(holder.first, holder.namespaces)
    telling, writing, gate, channel = pipes
    pid = syscalls.clone_beside()
    if pid != 0:
        os.write(telling, str(pid).encode())
        os._exit(0)
    if not os.read(gate, 1):
        raise OSError(errno.ECHILD, os.strerror(errno.ECHILD))  # the keeper has gone
    stage[0] = "session"
    os.setsid()
    if channel is None:
        _inside(program, writing, stage)
    else:
        _inside_ahead(program, channel, writing, stage)


def _inside(program: Program, writing: int, stage: Stage) -> None:
    spawn.take_stdio(program, stage)
    stage[0] = "sandbox"
    # Really closed, and first: a descriptor of a directory outside would be a way out, as
    # "/proc/self/fd/7" in the working directory or in a script's first line.
    syscalls.close_all_but(writing)
    spawn.set_limits(stage, program.rlimits)
    spawn.bound_capabilities(stage)
    stage[0] = "working_dir"
    os.chdir(program.directory)
    spawn.confine(program, stage)
    spawn.execute(program, stage)


def _inside_ahead(program: Program, channel: socket.socket, writing: int, stage: Stage) -> None:
    waiting.take_streams(program.stdio[1:], stage)
    syscalls.close_all_but(writing, channel.fileno())
    spawn.set_limits(stage)
    spawn.bound_capabilities(stage)
    waiting.become_what_is_ordered(channel, writing, program.calls, stage, confined=True)
