"""The executors `docker` and `podman`: tasks in containers of an engine on this host.

The engine runs them, the daemon watches them, and what either has decided is on disk. Nothing
that happens to this process touches a container; while it is away, deadlines are kept by nobody,
and what is over its time is stopped when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.domain.exit import Exit
from runner.domain.plan import Mode
from runner.domain.task import Handle
from runner.executors.container import ends, failures, readiness, records, spec
from runner.executors.container.attach import Attached
from runner.executors.container.attempt import Attempt, Home
from runner.executors.container.containers import Containers
from runner.executors.container.engine import LIMIT, Engine, EngineError, OutOfReach
from runner.executors.container.gpu_looks import GpuLooks
from runner.executors.container.images import Images
from runner.executors.container.launching import Begun, Exists, Launching, Taken, mark
from runner.executors.container.place import Places, barred
from runner.executors.container.progress import ProgressFiles
from runner.executors.container.records import Launched
from runner.executors.container.settings import Settings
from runner.executors.container.sweep import Sweep
from runner.executors.container.usage import Counters
from runner.executors.container.waking import without
from runner.executors.gpu_access import Look
from runner.ports import Excerpt, Found, Launch, LaunchFailed, Readiness, Started

_VERSION = 1  # of the handles' data
_LABEL = 12  # characters of a container's id that people know it by
_TIDY = 1.0  # seconds for what is being removed when it is closed
_FRESH = 60.0  # seconds for which what an engine says of itself is believed while it answers
_JUDGED = 10.0  # seconds for the end of what has ended already
_STDIN_LOST = "the daemon ended before all of its stdin was given: it would have been cut short"

_UNSURE = "its engine went away while it was to start it: whether its program ran is not known"


def _silent(_event: str, **_fields: object) -> None:
    """For whoever wants no notes."""


class ContainerExecutor:
    """See `runner.ports.Executor`. `engine` and `images` are of the engine that the settings
    name; they are closed with it. `note` is told what an operator may want to know. `beyond` looks
    at containers' GPUs where this process may not."""

    def __init__(
        self,
        settings: Settings,
        engine: Engine,
        images: Images,
        note: Callable[..., None] = _silent,
        beyond: Look | None = None,
    ) -> None:
        self.name = settings.name
        self._settings, self._engine, self._note = settings, engine, note
        self._containers = Containers(engine)
        self._places = Places(settings.root)
        self._gpus = GpuLooks(settings.name, note, beyond)
        self._launching = Launching(settings, self._containers, images, self._places, self._gpus)
        self._sweep = Sweep(settings, self._containers, self._places, note)
        self._sweeping: asyncio.Task[None] | None = None
        self._known: readiness.Known | None = None
        self._asked = -_FRESH
        self._attempts: dict[str, tuple[Attempt, asyncio.Task[None]]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._beside: set[asyncio.Task[None]] = set()
        self._progress = ProgressFiles(self._places.task, note)
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    async def probe(self) -> Readiness:
        """Whether its engine answers."""
        if problem := without(self._settings.socket):
            return _unready(problem)
        now = asyncio.get_running_loop().time()
        try:
            if self._known is not None and now < self._asked + _FRESH:
                await self._engine.ping(readiness.ANSWER)
            else:
                self._known, self._asked = await readiness.ask(self._engine), now
        except EngineError as error:
            self._asked = -_FRESH  # it may be another one when it is back
            return _unready(str(error))
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep.run(), name=f"sweep-{self.name}")
        said = self._known.readiness
        if problem := barred(self._settings.root, said.user):
            return replace(said, ready=False, problem=problem)
        return said

    async def launch(self, request: Launch) -> Started:
        """See the port."""
        async with self._lock(request.name):
            return await self._launch(request)

    async def adopt(self, request: Launch) -> Started | None:
        """See the port."""
        async with self._lock(request.name):
            return await self._adopt(request)

    async def wait(self, handle: Handle) -> Exit:
        """See the port."""
        name = json.loads(handle.data)["name"]
        async with self._lock(name):
            watched = await self._watched(name)
            if isinstance(watched, Exit):
                return watched
            task = self._attempts[name][1]
        await asyncio.wait({task})
        if watched.ended.done():
            return watched.ended.result()
        if not task.cancelled():
            task.result()  # raises what went wrong: it is asked again
        raise OutOfReach("it is not watched any more")  # nothing is known of its end

    async def stop(self, handle: Handle, grace: float) -> None:
        """See the port."""
        name = json.loads(handle.data)["name"]
        async with self._lock(name):
            watched = await self._watched(name)
        if not isinstance(watched, Exit):
            watched.stop(grace)

    def directory(self, name: str) -> Path:
        """See the port."""
        return self._places.output(name)

    async def find(self, name: str, pattern: str) -> list[Found]:
        """See the port."""
        return await asyncio.to_thread(self._places.find, name, pattern, self._owner(name))

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """See the port."""
        owner = self._owner(name)
        return await asyncio.to_thread(self._places.read_report, name, file, most, owner)

    async def progressed(self, name: str) -> None:
        """See the port."""
        await self._progress.changed(name)

    async def remove(self, name: str) -> None:
        """See the port. Raises EngineError where its container could not be removed."""
        async with self._lock(name):
            watched = self._attempts.pop(name, None)
            if watched is not None:
                watched[1].cancel()
                await asyncio.wait({watched[1]})
            if self._places.of(name).exists():
                with contextlib.suppress(Taken):
                    if (found := await self._launching.found(name)) is not None:
                        await self._containers.remove(found[0], force=True)
            await asyncio.to_thread(self._places.remove, name)
        self._progress.leave(name)
        self._locks.pop(name, None)

    async def gpu_problem(self, name: str) -> str:
        """See `runner.ports.ChecksGpus`."""
        attempt, _ = self._attempts.get(name, (None, None))
        if attempt is None or not attempt.launched.gpus:
            return ""
        container = attempt.launched.container

        async def pid() -> int:
            try:
                return (await self._containers.state(container)).pid
            except EngineError:  # then nothing is known; its end is told by `wait`
                return 0

        # where systemd has no part in the groups, nobody takes such rights away
        kept = self._known is not None and self._known.cgroup_driver == "cgroupfs"
        return await self._gpus.problem(container, attempt.launched.gpus, pid, kept=kept)

    @property
    def active(self) -> int:
        """How many containers of it run, as far as is known."""
        return sum(not task.done() for _, task in self._attempts.values())

    async def close(self) -> None:
        """See the port."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        for _, task in self._attempts.values():
            task.cancel()
        if self._beside:  # containers of what has just ended
            await asyncio.wait(self._beside, timeout=_TIDY)
        tasks = {*self._beside, *(task for _, task in self._attempts.values())}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._attempts.clear()
        self._progress.close()
        await self._engine.close()

    # --- how it is done

    async def _launch(self, request: Launch) -> Started:
        begun = await self._begin(request)
        if isinstance(begun, Started):
            return begun
        attempt = self._watch(begun.launched, begun.attached, begun.counters)
        attempt.begun = begun.running
        if begun.stdin is not None:
            attempt.give(begun.stdin)
        if not begun.running:
            await self._judge_start(request, attempt)
        return self._started(begun.launched)

    async def _begin(self, request: Launch) -> Begun | Started:
        """Its container, started just now or found. An engine is only asked whether there is one
        where there is a trace of it: else its name, when it is created, tells."""
        trace = self._places.of(request.name).exists()
        while True:
            try:
                if trace and (started := await self._adopt(request)) is not None:
                    return started
                known = await self._engine_known()
            except (EngineError, OSError, records.Unreadable) as error:
                raise LaunchFailed(failures.of_host(str(error))) from error
            try:
                return await self._launching.begin(request, known)
            except Exists as exists:
                if trace:
                    raise LaunchFailed(exists.failure) from exists
                trace = True

    async def _judge_start(self, request: Launch, attempt: Attempt) -> None:
        """It has ended already: was that its program, or could none be begun?"""
        await asyncio.wait({self._attempts[request.name][1]}, timeout=_JUDGED)
        if not attempt.ended.done() or not (why := attempt.ended.result().unstarted):
            return
        self._attempts.pop(request.name, None)
        with contextlib.suppress(EngineError):
            await self._containers.remove(attempt.launched.container, force=True)
        for name in (records.LAUNCH, records.EXIT):
            (self._places.of(request.name) / name).unlink(missing_ok=True)
        raise LaunchFailed(failures.unstarted(request.plan.argv, why), attempt.launched.digest)

    async def _adopt(self, request: Launch) -> Started | None:
        home = self._places.of(request.name)
        launched = records.read_launch(home)
        if launched is not None and (request.name in self._attempts or records.read_exit(home)):
            return self._started(launched)
        try:
            unsure = launched is not None and launched.unsure
            if launched is not None and unsure and await self._launching.may_have_run(launched):
                records.write_exit(home, ends.lost(_UNSURE))
                return self._started(launched)
            found = await self._launching.clear(request.name)
        except Taken:
            found = None
        launched = records.read_launch(home)  # which is gone with what was never started
        if found is not None and (launched is None or launched.container != found[0]):
            user = spec.user(request.plan, self._settings)
            launched = self._launching.shape(request, found[0], user)
        if launched is None:
            return None
        if found is not None and not launched.start_time:
            mark(launched, found[1])
            records.write(home, records.LAUNCH, launched)
        return self._started(launched)

    async def _watched(self, name: str) -> Attempt | Exit:
        """The attempt as it is watched from now on; its end, where there is none to be."""
        home = self._places.of(name)
        if name in self._attempts:
            attempt, task = self._attempts[name]
            if not task.done() or attempt.ended.done():
                return attempt
        try:
            if (end := records.read_exit(home)) is not None:
                return end
            launched = records.read_launch(home)
        except records.Unreadable as error:
            return ends.lost(f"the record of it cannot be read: {error}")
        if launched is None:
            return ends.lost("nothing is left of it on this host: how it ended cannot be learned")
        await self._engine_known()  # which engine it is decides how it is watched
        pid = 0
        with contextlib.suppress(EngineError):
            pid = (await self._containers.state(launched.container)).pid
        counters = Counters(launched.container, pid) if pid else None
        attempt = self._watch(launched, None, counters)
        if not launched.stdin:
            attempt.interrupted = _STDIN_LOST
            attempt.stop(0.0)
        return attempt

    def _watch(
        self, launched: Launched, attached: Attached | None, counters: Counters | None
    ) -> Attempt:
        home = Home(
            self._places.of(launched.name),
            self._containers,
            self._engine_known,
            self._known.flavour.name if self._known is not None else "",
            self._known is not None and self._known.flavour.waits,
            self._boot_id,
            self._note,
        )
        attempt = Attempt(home, launched, counters)
        task = asyncio.create_task(attempt.run(attached), name=f"container-{launched.name}")
        self._attempts[launched.name] = (attempt, task)
        task.add_done_callback(lambda _: self._let_go(attempt))
        return attempt

    def _owner(self, name: str) -> int:
        """The uid of what is an attempt's own."""
        launched = records.read_launch(self._places.of(name))
        return os.geteuid() if launched is None else int(launched.user.partition(":")[0])

    async def _engine_known(self) -> readiness.Known:
        """What its engine said of itself. Raises EngineError where it was never there to ask."""
        if self._known is None:
            self._known = await readiness.ask(self._engine, LIMIT)
        return self._known

    def _let_go(self, attempt: Attempt) -> None:
        """What has ended, and is on disk, needs its container no more."""
        self._progress.leave(attempt.launched.name)
        if attempt.ended.done():
            self._spawn(self._tidy(attempt.launched))

    async def _tidy(self, launched: Launched) -> None:
        try:
            await asyncio.to_thread(records.sync, self._places.of(launched.name))
            await self._containers.remove(launched.container, force=True)
        except (EngineError, OSError) as error:  # swept later
            self._note("container not removed", attempt=launched.name, problem=str(error))
        # what is on disk is not needed in memory
        self._attempts.pop(launched.name, None)
        if (lock := self._locks.get(launched.name)) is not None and not lock.locked():
            del self._locks[launched.name]

    def _started(self, launched: Launched) -> Started:
        data = json.dumps({"name": launched.name, "container": launched.container})
        handle = Handle(self.name, _VERSION, data, launched.container[:_LABEL])
        start = launched.start_time or launched.asked
        return Started(handle, start, launched.digest, launched.ready)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="container-beside")
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)


def _unready(problem: str) -> Readiness:
    return Readiness(ready=False, problem=problem, modes=(Mode.DOCKER, Mode.PYTHON))
