"""Launches into the strict sandbox: the time between the request and the program's start.

First bubblewrap makes the sandbox, then the program enters it; this process waits for neither,
but is told by the loop. What takes too long is a launch that failed. Meanwhile a request to stop
is remembered, and the keeper does not replace itself.
"""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable

from runner.keeper.ahead import end_sandbox, remove
from runner.keeper.attempt import Attempt
from runner.keeper.entering import Entering, EnteringFailed
from runner.keeper.launching import Preparation, StartFailed
from runner.keeper.loop import Loop
from runner.keeper.sandbox import Holder, HolderFailed
from runner.keeper.view import Sandboxes

_PATIENCE = 10_000_000_000  # nanoseconds for a sandbox to be made and entered

OnFailed = Callable[[str, StartFailed], None]


class Preparing:
    """The launches that are under way. `on_failed` is told the name and why."""

    def __init__(self, loop: Loop, sandboxes: Sandboxes, on_failed: OnFailed) -> None:
        self._loop = loop
        self._sandboxes = sandboxes
        self._on_failed = on_failed
        self._under_way: dict[str, _Start] = {}
        loop.on_stranger = self._on_stranger

    def begin(self, preparation: Preparation) -> None:
        """Take charge of one. Raises StartFailed where it failed already."""
        holder = preparation.hold(self._sandboxes)
        start = _Start(self._loop, preparation, holder, self._ended)
        self._under_way[preparation.name] = start
        user = preparation.ground.user
        self._loop.preparing[preparation.name] = -1 if user is None else user[0]
        start.go()

    def stop(self, name: str, grace: int) -> bool:
        """Remember that it is to be stopped once it was started; whether it is one of these."""
        start = self._under_way.get(name)
        if start is not None:
            start.stops.append(grace)
        return start is not None

    def _on_stranger(self, pid: int, status: int, usage: resource.struct_rusage) -> None:
        for start in self._under_way.values():
            start.reaped[pid] = (status, usage)

    def _ended(self, start: _Start, ended: Attempt | StartFailed) -> None:
        name = start.preparation.name
        del self._under_way[name]
        del self._loop.preparing[name]
        if isinstance(ended, StartFailed):
            self._on_failed(name, ended)
            return
        self._loop.add(ended)
        for grace in start.stops:
            self._loop.stop(ended, grace, "requested")
        if ended.pid in start.reaped:  # it was over before its pid was told
            self._loop.exited(ended, *start.reaped[ended.pid])


class _Start:
    """One launch, from the fork of its bubblewrap to that of its program."""

    def __init__(
        self,
        loop: Loop,
        preparation: Preparation,
        holder: Holder,
        on_end: Callable[[_Start, Attempt | StartFailed], None],
    ) -> None:
        self.preparation = preparation
        self.stops: list[int] = []
        self.reaped: dict[int, tuple[int, resource.struct_rusage]] = {}
        self._loop = loop
        self._holder = holder
        self._on_end = on_end
        self._entering: Entering | None = None
        self._over = False
        loop.host.mains.add(holder.pid)
        loop.on_child[holder.pid] = self._on_holder
        loop.after(_PATIENCE, self._on_late)

    def go(self) -> None:
        """Enter the sandbox at once where it was made ahead, else once it is ready."""
        leading = self.preparation.ground.leading
        if leading:
            self._loop.on_child[leading] = lambda _: self._on_led_in()
        elif self._holder.ready_fd < 0:
            self._enter()
        else:
            self._loop.watch(self._holder.ready_fd, self._on_ready)

    def _on_ready(self) -> None:
        descriptor = self._holder.ready_fd
        self._loop.unwatch(descriptor)
        try:
            if not self.preparation.ground.look():
                self._loop.watch(descriptor, self._on_ready)
                return
        except HolderFailed as error:  # at "exec", for one: of bubblewrap, not of the task
            self._fail(error.number, error.text or str(error))
            return
        except (OSError, ValueError, KeyError) as error:  # it died as it said that it is ready
            self._fail(getattr(error, "errno", 0) or errno.EIO, str(error))
            return
        self._enter()

    def _on_led_in(self) -> None:
        """A child that was on its way in waits there now."""
        if self._over:
            return
        try:
            self.preparation.ground.led_in()
        except (EnteringFailed, OSError) as error:
            self._fail(getattr(error, "number", 0) or errno.EIO, str(error))
            return
        self._enter()

    def _enter(self) -> None:
        try:
            entering = self.preparation.enter(self._holder)
        except StartFailed as error:
            self._end(error)
            return
        if isinstance(entering, Attempt):
            self._over = True
            self._on_end(self, entering)
            return
        self._entering = entering
        self._loop.on_child[entering.pid] = lambda _: self._on_entered()
        self._loop.host.mains.add(entering.pid)

    def _on_entered(self) -> None:
        """Who led the program in has ended."""
        if self._over or self._entering is None:
            return
        try:
            pid, exec_pipe = self._entering.read()
        except EnteringFailed as error:
            self._fail(error.number, str(error))
            return
        except OSError as error:
            self._fail(error.errno or errno.EIO, str(error))
            return
        self._over = True
        self._on_end(self, self.preparation.entered(pid, exec_pipe, self._holder))

    def _on_late(self) -> None:
        if not self._over:
            self._fail(errno.ETIMEDOUT, "it was not ready after 10 s")

    def _on_holder(self, _: int) -> None:
        self._loop.host.mains.discard(self._holder.pid)

    def _fail(self, number: int, text: str) -> None:
        self.preparation.stage = "sandbox"
        self._end(self.preparation.failed(OSError(number or errno.EPERM, text), text))

    def _end(self, error: StartFailed) -> None:
        self._over = True
        end_sandbox(self._loop, self.preparation.ground)
        if self._entering is not None:
            self._entering.close()
        group = self.preparation.group()
        if group is not None:
            self._loop.clear(group)
        if self.preparation.ground.name != self.preparation.name:
            remove(self._loop.host, self.preparation.ground.name)
        self._on_end(self, error)
