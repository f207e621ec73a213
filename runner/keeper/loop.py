"""The keeper's one loop: waits for output, exits, requests and times, and tells each attempt.

Knows attempts and descriptors, and no messages: those are the server's (`service.py`).
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial

from runner.keeper import keeping, records
from runner.keeper.attempt import KEEPER_STOPPED, SETTLE_MOST, Attempt, Host, now
from runner.keeper.cgroups_group import Group
from runner.keeper.disk import DISK
from runner.keeper.records import Record
from runner.keeper.touches import Touches

_TURN = 30.0  # seconds: epoll's clock stands still while the host sleeps, ours does not
_STEPS_A_TURN = 256  # of a removal
_STEPS_OF_COPYING = 16
_STOP_GRACE = 5_000_000_000  # for tasks whose keeper is told to leave


def log(text: str) -> None:
    """A line on stderr, for whoever runs the keeper."""
    with contextlib.suppress(OSError):  # the disk of the log may be full
        os.write(2, f"env-runner keeper[{os.getpid()}]: {text}\n".encode())


def _ignore(_pid: int, _status: int, _usage: resource.struct_rusage) -> None:
    """What becomes of a child that nobody knows: an orphan of a task."""


class Loop:
    """The attempts that run, and everything that is waited for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.attempts: dict[str, Attempt] = {}
        self.mains: dict[int, Attempt] = {}  # by pid, until reaped
        self.unread: dict[str, None] = {}  # ends that the daemon has not said to have seen
        self.removals: dict[str, Iterator[None]] = {}
        self.preparing: dict[str, int] = {}  # the uids of launches that are under way, by name
        self.clearing: set[str] = set()  # what is no attempt's, until all of it is dead
        self.closing: dict[str, Iterator[None]] = {}  # of ends that are to be told
        self.on_started: Callable[[Attempt], None] = lambda _: None  # or failed: `problem`
        self.on_end: Callable[[Record], None] = lambda _: None
        self.on_progress: Callable[[str], None] = lambda _: None
        self.on_child: dict[int, Callable[[int], None]] = {}  # children that are no attempts
        self.on_stranger: Callable[[int, int, resource.struct_rusage], None] = _ignore
        self.on_reload: Callable[[], None] = lambda: None
        self.leaving = False
        self._epoll = select.epoll()
        self._sources: dict[int, Callable[[], object]] = {}
        self._alarms: list[tuple[int, str]] = []
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        self._numbers = itertools.count()  # timers of the same moment go by these
        self._reload = False
        self._children = True  # whether one may have died: those of before an exec too
        self._ending: set[Attempt] = set()
        self.unrecorded: dict[str, Record] = {}  # ends that the disk has no room for
        self._touches = Touches(keeping.PROGRESS, self._progressed, self.watch, self.after)
        self._signals()

    def _signals(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.watch(reading, partial(os.read, reading, 4096))

    def _on_signal(self, number: int, _: object) -> None:
        self._children |= number == signal.SIGCHLD
        self._reload |= number == signal.SIGHUP
        self.leaving |= number in (signal.SIGTERM, signal.SIGINT)

    def watch(
        self, descriptor: int, call: Callable[[], object], events: int = select.EPOLLIN
    ) -> None:
        """Call `call` whenever the descriptor is ready; again with other events to change them."""
        if descriptor in self._sources:
            self._epoll.modify(descriptor, events)
        else:
            self._epoll.register(descriptor, events)
        self._sources[descriptor] = call

    def unwatch(self, descriptor: int) -> None:
        """Stop that, before the descriptor is closed."""
        if self._sources.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    # --- attempts ---------------------------------------------------------------------------

    def add(self, attempt: Attempt) -> None:
        """Take charge of an attempt that was just started, or taken over."""
        self.attempts[attempt.name] = attempt
        if attempt.exit is None:
            self.mains[attempt.pid] = attempt
        else:
            self._ending.add(attempt)
        if attempt.exec_pipe >= 0:
            self.watch(attempt.exec_pipe, partial(self._starting, attempt))
        for number, stream in attempt.output.streams.items():
            if stream.pipe >= 0:
                self.watch(stream.pipe, partial(self._pump, attempt, number))
        self._schedule(attempt)
        try:
            self._touches.add(attempt.name, f"{self.host.root}/{attempt.name}/{DISK}/task")
        except FileNotFoundError:
            pass  # of a version that had it elsewhere
        except OSError as error:  # the user has no watches left
            log(f"the progress of {attempt.name} is told at its end alone: {error.strerror}")

    def uids(self) -> Iterator[int]:
        """Whose processes run."""
        yield from self.preparing.values()
        for attempt in self.attempts.values():
            yield attempt.launch.get("uid", -1)  # an earlier version did not say

    def _schedule(self, attempt: Attempt) -> None:
        due = attempt.due()
        if due is not None and (attempt.alarm is None or due < attempt.alarm):
            attempt.alarm = due
            heapq.heappush(self._alarms, (due, attempt.name))

    def stop(self, attempt: Attempt, grace: int, why: str) -> None:
        """See `Attempt.stop`."""
        attempt.stop(now(), grace, why)
        self._schedule(attempt)

    def _pump(self, attempt: Attempt, number: int) -> None:
        if not attempt.pump(number, now()):
            # First, since a child that has not come to exec has the pipe too: epoll would go on
            # about what is closed here, and this loop would spin.
            self.unwatch(attempt.output.streams[number].pipe)
            attempt.output.hang_up(number)

    def _starting(self, attempt: Attempt) -> None:
        pipe = attempt.exec_pipe
        self.unwatch(pipe)  # before it is closed, see `_pump`
        try:
            attempt.started()
        except BlockingIOError:
            self.watch(pipe, partial(self._starting, attempt))
            return
        if attempt.problem is None:
            self.on_started(attempt)

    def _progressed(self, name: str) -> None:
        self.on_progress(name)

    def _forget(self, attempt: Attempt) -> None:
        for stream in attempt.output.streams.values():
            self.unwatch(stream.pipe)
        self._touches.drop(attempt.name)
        del self.attempts[attempt.name]

    def _reap(self) -> None:
        self._children = False
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                self.host.mains.discard(pid)
                attempt = self.mains.pop(pid, None)
                if attempt is not None:
                    self._exited(attempt, status, usage)
                elif pid in self.on_child:
                    self.on_child.pop(pid)(status)
                else:
                    self.on_stranger(pid, status, usage)
        for attempt in list(self._ending):
            self._settle(attempt)

    def _exited(self, attempt: Attempt, status: int, usage: resource.struct_rusage) -> None:
        if attempt.exec_pipe >= 0:
            self._starting(attempt)
        attempt.on_exit(status, usage, now())
        self._ending.add(attempt)

    def _settle(self, attempt: Attempt) -> None:
        if not attempt.settled():
            self._schedule(attempt)
            return
        self._forget(attempt)
        self._ending.discard(attempt)
        if attempt.problem is not None:
            attempt.abandon()
            self._clear_away(attempt)
            self.on_started(attempt)
            return
        record = attempt.finish()
        self.unread[attempt.name] = None
        self._record(record)
        with contextlib.suppress(OSError):  # no task had it, then
            self.host.disks.close(attempt.name)
        if attempt.launch.get("disk") is None and not attempt.launch.get("mounts"):
            self.on_end(record)
        else:
            self.closing[attempt.name] = self._closing(attempt, record)
        self._clear_away(attempt)

    def _clear_away(self, attempt: Attempt) -> None:
        """Remove its group once its sandbox, too, has died."""
        if isinstance(attempt.group, Group):
            self.clear(attempt.group)

    def _closing(self, attempt: Attempt, record: Record) -> Iterator[None]:
        """What is between the end and telling it: until then its memory is in use."""
        try:
            left = yield from attempt.closing()
            for what, why in left.items():
                log(f"not all files of {attempt.name} were kept: {what[:200]!r}: {why}")
        except Exception as error:  # noqa: BLE001 - every task of the host hangs on this process
            log(f"not all files of {attempt.name} could be kept: {error}")
        self.on_end(record)

    def _record(self, record: Record) -> None:
        known = self.unrecorded.pop(record["name"], None)
        try:
            directory = os.open(record["name"], os.O_RDONLY, dir_fd=self.host.directory)
            try:
                records.write(directory, records.EXIT, record)
            finally:
                os.close(directory)
        except FileNotFoundError:
            log(f"the directory of {record['name']} is gone, and its end is told and not kept")
        except OSError as error:
            if known is None:
                log(f"the end of {record['name']} cannot be written yet: {error.strerror}")
            self.unrecorded[record["name"]] = record

    def after(self, delay: int, call: Callable[[], object]) -> None:
        """Call it once, so many nanoseconds from now."""
        heapq.heappush(self._timers, (now() + delay, next(self._numbers), call))

    def exited(self, attempt: Attempt, status: int, usage: resource.struct_rusage) -> None:
        """The main process of an attempt was reaped before that was added."""
        self.mains.pop(attempt.pid, None)
        self.host.mains.discard(attempt.pid)
        self._exited(attempt, status, usage)
        self._settle(attempt)

    def clear(self, group: Group) -> None:
        """Kill all in a group that is no attempt's, and remove it once that is dead."""
        groups = (each.group for each in self.attempts.values())
        if any(isinstance(each, Group) and each.path == group.path for each in groups):
            self.clearing.discard(group.path)  # another has that name by now
        elif group.populated():
            group.kill()
            self.clearing.add(group.path)
            self.after(SETTLE_MOST, lambda: self.clear(group))
        else:
            group.remove()
            self.clearing.discard(group.path)

    # --- the loop ---------------------------------------------------------------------------

    def turn(self, timeout: float) -> None:
        """Wait for something, `timeout` seconds at most, and do all that is due."""
        for descriptor, _ in self._epoll.poll(min(timeout, self._patience())):
            call = self._sources.get(descriptor)
            if call is not None:
                call()
        if self.leaving:
            for attempt in self.attempts.values():
                self.stop(attempt, min(_STOP_GRACE, attempt.launch["grace"]), KEEPER_STOPPED)
        if self._children:
            self._reap()
        self._times()
        self._go_on(self.removals, _STEPS_A_TURN)
        self._go_on(self.closing, _STEPS_OF_COPYING)
        for record in list(self.unrecorded.values()):
            self._record(record)
        if self._reload and not self.unsettled:
            self._reload = False
            self.on_reload()

    def _patience(self) -> float:
        """Seconds until something is due."""
        if self.removals or self.closing:
            return 0.0
        most = 1.0 if self.unrecorded else _TURN
        due = [queue[0][0] for queue in (self._alarms, self._timers) if queue]
        return min(most, max(0.0, (min(due) - now()) / 1e9)) if due else most

    def _times(self) -> None:
        at = now()
        while self._timers and self._timers[0][0] <= at:
            heapq.heappop(self._timers)[2]()
        while self._alarms and self._alarms[0][0] <= at:
            due, name = heapq.heappop(self._alarms)
            attempt = self.attempts.get(name)
            if attempt is None or attempt.alarm != due:
                continue  # an earlier one took its place
            attempt.alarm = None
            if attempt.exit is None:
                attempt.on_time(at)
                self._schedule(attempt)
            else:
                self._settle(attempt)

    def _go_on(self, works: dict[str, Iterator[None]], most: int) -> None:
        """Do some steps of each, and forget those that are done."""
        for name, steps in list(works.items()):
            for _ in range(most):
                if next(steps, self) is self:
                    works.pop(name, None)
                    break

    def reload(self) -> None:
        """Have `on_reload` called once nothing is under way that a successor could not go on
        with."""
        self._reload = True

    def forget_end(self, name: str) -> None:
        """The daemon has the end of this attempt, or wants no more of it."""
        self.unread.pop(name, None)
        self.unrecorded.pop(name, None)

    @property
    def unsettled(self) -> bool:
        """Whether something is under way that no successor could go on with."""
        return bool(self.closing or self.preparing or self.clearing)

    @property
    def busy(self) -> bool:
        """Whether something would be lost if this process ended now."""
        return bool(self.attempts or self.unsettled)

    @property
    def idle(self) -> bool:
        """Whether nothing is left that only this process could do or tell."""
        return not (self.busy or self.unread or self.removals or self.unrecorded)


def fix_standard_streams() -> None:
    """Make sure that no descriptor below 3 is free: else a pipe would be taken for stderr."""
    while True:
        descriptor = os.open("/dev/null", os.O_RDWR)
        if descriptor > 2:  # noqa: PLR2004 - stderr
            os.close(descriptor)
            break
        os.set_inheritable(descriptor, True)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - the process's own
