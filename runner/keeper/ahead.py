"""Makes the ground for the next launch before that is asked for: most tasks of a runner have the
same limits and the same sandbox, and to make those takes longer than to start a program in them.

One ground is kept for each of the shapes asked for last, and made again when it was taken: once
that task has ended, or has run for a while, so that this delays no start and no end. What is kept
is a directory, a cgroup, a user, a child that waits to be told its program and, in the strict
sandbox, bubblewrap's processes; none of it is any task's yet, and all of it goes with the keeper.
Only where there are cgroups: elsewhere a child that is no task's would be in the way of finding
those that are.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator

from runner.keeper import files
from runner.keeper.attempt import Host
from runner.keeper.entering import EnteringFailed
from runner.keeper.ground import Ground, Shape, StartFailed
from runner.keeper.loop import Loop, log
from runner.keeper.sandbox import HolderFailed
from runner.keeper.spawn import User
from runner.keeper.users import Exhausted
from runner.keeper.view import Sandboxes

PREFIX = ".ahead."
"""What a ground's directory is called until it is an attempt's."""

_SHAPES = 4
_LEASED = 8  # more with the nodes of a GPU: tasks take turns on all that there are
_LULL = 50_000_000  # nanoseconds that a task has run: then its end is not likely to come just now
_PAUSE = 60_000_000_000  # after a ground could not be made

Choose = Callable[[Shape], User | None]
"""Whom a task of that shape runs as; may raise Exhausted."""


class Ahead:
    """The grounds that are ready, or nearly. `sandboxes` makes the sandboxes, `choose` says
    whose each is to be."""

    def __init__(
        self, loop: Loop, sandboxes: Sandboxes, choose: Choose, *, never: bool = False
    ) -> None:
        self._loop = loop
        self._sandboxes = sandboxes
        self._choose = choose
        self._wanted: dict[Shape, None] = {}  # the latest is last
        self._made: dict[Shape, Ground] = {}
        self._seen: dict[Ground, object] = {}  # the host as each of them shows it
        self._numbers = itertools.count()
        self._not_before = 0
        self._due = False
        self.closed = self._never = never

    def uids(self) -> Iterator[int]:
        """Whose these grounds are."""
        return (each.user[0] for each in self._made.values() if each.user is not None)

    def take(self, shape: Shape) -> Ground | None:
        """The ground of that shape, the caller's from now on, where one is there and shows the
        host as it is now. Another is made, some time after `lull`."""
        self._wanted.pop(shape, None)
        self._wanted[shape] = None
        leased = bool(shape.devices)
        alike = [each for each in self._wanted if bool(each.devices) == leased]
        for oldest in alike[: -_LEASED if leased else -_SHAPES]:
            del self._wanted[oldest]
            self._forget(oldest)
        ground = self._made.pop(shape, None)
        if ground is None:
            return None
        seen = self._seen.pop(ground)
        if ground.holder is not None:
            if seen != self._sandboxes.state():
                self.drop(ground)
                return None
            self._loop.unwatch(ground.holder.ready_fd)
        if ground.waiting is not None:
            self._loop.on_child.pop(ground.waiting.pid, None)
            if not ground.waiting.alive:
                self.drop(ground)
                return None
        return ground

    def lull(self, delay: int = 0) -> None:
        """It is a good time to make what is missing, in so many nanoseconds."""
        if not self._due and not self.closed and self._wanted.keys() - self._made.keys():
            self._due = delay == 0
            self._loop.after(delay, self._make)

    def started(self) -> None:
        """A task was started: it may be a short one, whose end comes first."""
        self.lull(_LULL)

    def close(self) -> None:
        """End all of them, and make no more until `open`."""
        self.closed = True
        self.clear()

    def open(self) -> None:
        """Make them again, from the next task on."""
        self.closed = self._never

    def clear(self) -> None:
        """End those that are there now."""
        for shape in list(self._made):
            self._forget(shape)

    def drop(self, ground: Ground) -> None:
        """End one that no attempt has. Its processes may take a moment: see `Loop.clearing`."""
        end_sandbox(self._loop, ground)
        ground.undo()
        group = ground.group()
        if group is not None:
            self._loop.clear(group)
        remove(self._loop.host, ground.name)

    def _forget(self, shape: Shape) -> None:
        ground = self._made.pop(shape, None)
        if ground is not None:
            del self._seen[ground]
            self.drop(ground)

    def _make(self) -> None:
        """Make one that is missing, the one asked for last."""
        self._due = False
        if self.closed or self._loop.leaving or time.monotonic_ns() < self._not_before:
            return
        missing = [shape for shape in self._wanted if shape not in self._made]
        if not missing:
            return
        try:
            self._made[missing[-1]] = ground = self._ground(missing[-1])
        except (StartFailed, Exhausted, OSError) as error:
            why = "no user is free" if isinstance(error, Exhausted) else error
            log(f"nothing is made ahead for a minute: {why}")
            self._not_before = time.monotonic_ns() + _PAUSE
            return
        self._seen[ground] = self._sandboxes.state()
        if len(missing) > 1:
            self.lull()

    def _ground(self, shape: Shape) -> Ground:
        name = f"{PREFIX}{os.getpid()}.{time.time_ns():x}.{next(self._numbers)}"
        user = self._choose(shape)
        try:
            ground = Ground(self._loop.host, shape, user, name)
        except StartFailed:
            remove(self._loop.host, name)
            raise
        try:
            if shape.level == "strict":
                holder = ground.hold(self._sandboxes, [])
                self._follow(holder.pid, shape, ground)
                self._loop.watch(holder.ready_fd, lambda: self._look(shape, ground))
            else:
                self._follow(ground.wait().pid, shape, ground)
        except (StartFailed, OSError):
            self.drop(ground)
            raise
        return ground

    def _follow(self, pid: int, shape: Shape, ground: Ground) -> None:
        self._loop.host.mains.add(pid)
        self._loop.on_child[pid] = lambda _: self._lost(shape, ground, pid)

    def _look(self, shape: Shape, ground: Ground) -> None:
        assert ground.holder is not None  # noqa: S101 - it is being made
        descriptor = ground.holder.ready_fd
        self._loop.unwatch(descriptor)
        try:
            if ground.look():
                pid = ground.lead_in(self._sandboxes.calls)
                self._loop.host.mains.add(pid)
                self._loop.on_child[pid] = lambda _: self._led_in(shape, ground)
            else:
                self._loop.watch(descriptor, lambda: self._look(shape, ground))
        except (HolderFailed, OSError, ValueError, KeyError) as error:
            self._give_up(shape, error)

    def _led_in(self, shape: Shape, ground: Ground) -> None:
        """Who led a child in has ended."""
        if self._made.get(shape) is not ground:
            return
        try:
            self._follow(ground.led_in().pid, shape, ground)
        except (EnteringFailed, OSError) as error:
            self._give_up(shape, error)

    def _give_up(self, shape: Shape, error: Exception) -> None:
        log(f"nothing is made ahead for a minute: {error}")
        self._not_before = time.monotonic_ns() + _PAUSE
        self._forget(shape)

    def _lost(self, shape: Shape, ground: Ground, pid: int) -> None:
        """A process of its has ended; nobody may have asked for that."""
        self._loop.host.mains.discard(pid)
        if self._made.get(shape) is ground:
            self._forget(shape)


def end_sandbox(loop: Loop, ground: Ground) -> None:
    """End the sandbox of a ground, where it has one; who waits for that is told no more."""
    holder = ground.holder
    if holder is None:
        return
    ground.holder = None
    holder.kill()
    loop.unwatch(holder.ready_fd)
    holder.close()


def remove(host: Host, name: str) -> None:
    """Remove the directory of a ground that was no attempt's. What stays, a keeper that comes
    later removes."""
    for _ in files.removal(host.directory, name):
        pass
