"""From a launch to a container that runs: create, read back, record, attach, start.

Everything before the start can be done again after a crash, and nothing is started twice: a
container is found by its recorded id or its name, and one that was never started is removed and
made anew. Not here: what becomes of it then (`attempt.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from runner.domain.failure import Failure
from runner.domain.plan import Plan
from runner.executors import gpu_nodes
from runner.executors.container import (
    engine_life,
    failures,
    granted,
    image_annotations,
    peek,
    readback,
    records,
    spec,
)
from runner.executors.container.attach import Attached
from runner.executors.container.containers import Containers, State, state
from runner.executors.container.engine import (
    Absent,
    Conflict,
    EngineError,
    OutOfReach,
)
from runner.executors.container.flavours import Flavour
from runner.executors.container.gpu_looks import GpuLooks
from runner.executors.container.image import ImageFacts
from runner.executors.container.images import Images, Ready
from runner.executors.container.place import Places
from runner.executors.container.readiness import Known
from runner.executors.container.records import Launched
from runner.executors.container.settings import LABEL, Settings
from runner.executors.container.stdin import Stdin
from runner.executors.container.stopping import now
from runner.executors.container.usage import Counters
from runner.failpoints import failpoint
from runner.ports import Launch, LaunchFailed


class Taken(Exception):
    """The name of an attempt's container is another container's."""


class Exists(Exception):
    """There is a container of that name already; `failure` says so of the launch."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


_LOOK = 0.2  # seconds between two looks whether what is prepared is still wanted


@dataclass(frozen=True, slots=True)
class Begun:
    """A container that was started just now. `attached` has its output, `stdin` what is to be
    given to it, if there is anything; `running` says that the program itself was seen to run;
    `counters` are of its control group, None where it has ended."""

    launched: Launched
    attached: Attached
    stdin: Stdin | None
    running: bool = False
    counters: Counters | None = None

    def close(self) -> None:
        """Let go of its streams."""
        self.attached.close()
        if self.stdin is not None:
            self.stdin.close()


class Launching:
    """Of one engine, whose `flavour` is known by then."""

    def __init__(
        self,
        settings: Settings,
        containers: Containers,
        images: Images,
        places: Places,
        looks: GpuLooks,
    ) -> None:
        self._settings, self._containers, self._gpus = settings, containers, looks
        self._images, self._places = images, places

    async def found(self, name: str) -> tuple[str, State] | None:
        """The id and state of an attempt's container, if there is one and it is ours: by the id
        that was recorded, which neither a rename nor another id of this runner changes, else by
        name. Raises EngineError, OSError; Taken where somebody else's has its name."""
        with contextlib.suppress(Absent, records.Unreadable):
            if (launched := records.read_launch(self._places.of(name))) is not None:
                return launched.container, await self._containers.state(launched.container)
        try:
            told = await self._containers.inspect(self._settings.container(name))
        except Absent:
            return None
        if not self.ours(name, (told.get("Config") or {}).get("Labels") or {}):
            raise Taken(f"{self._settings.container(name)} is the name of another's container")
        it = state(told)
        return it.id, it

    def ours(self, name: str, labels: Mapping[str, Any]) -> bool:
        """Whether such labels are those of this runner's container of that attempt."""
        wanted = {f"{LABEL}runner": self._settings.runner, f"{LABEL}name": name}
        return all(labels.get(key) == value for key, value in wanted.items())

    async def clear(self, name: str) -> tuple[str, State] | None:
        """Remove the attempt's container, and the record of it, where it was certainly never
        started; else its id and state. Raises as `found` does."""
        while (found := await self.found(name)) is not None and found[1].fresh:
            try:
                await self._containers.remove(found[0], force=False)
            except Conflict:
                continue  # a start that was under way has come about
            self._forget(name)
        return found

    async def may_have_run(self, launched: Launched) -> bool:
        """Whether its program may have run although its container was never started, as the engine
        has it: another engine than was asked knows only what that one had written down. Raises as
        `found` does."""
        found = await self.found(launched.name)
        if found is None or not found[1].fresh:
            return False
        began = await asyncio.to_thread(engine_life.began, self._settings.socket)
        return not 0 < began <= launched.asked

    async def begin(self, request: Launch, known: Known) -> Begun:
        """Start it. `known` is its engine. Raises LaunchFailed; Exists; EngineError where it is
        not known whether it was started."""
        plan, owner = request.plan, known.readiness.user
        if owner and plan.user not in ("", owner):
            text = f"its engine runs tasks as its own user {owner} alone, not as {plan.user}"
            raise LaunchFailed(failures.unfit(text))
        if request.gpus and known.readiness.no_gpus:
            raise LaunchFailed(failures.no_gpus(known.readiness.no_gpus))
        if (kinds := _unheld(plan, known)) and not self._settings.unheld_allowed():
            raise LaunchFailed(failures.unheld(kinds[0], known.readiness.unheld[kinds[0]]))
        plan = replace(plan, user=plan.user or owner, unheld=(*plan.unheld, *kinds))
        if 0 < plan.limits.memory_bytes < failures.LEAST_MEMORY and "memory" not in plan.unheld:
            raise LaunchFailed(failures.too_little_memory(plan))
        request = replace(request, plan=plan)
        ready = await self._ready(request)
        try:
            return await self._begin(request, known, ready, time.time_ns())
        except LaunchFailed as failed:
            failed.image_digest = ready.digest
            raise

    async def _ready(self, request: Launch) -> Ready:
        """Its image, for as long as it is wanted: a pull may take an hour."""
        ensuring = asyncio.ensure_future(
            self._images.ensure(
                request.plan.image,
                request.plan.pull or "if-not-present",
                request.image_digest,
                tenant=request.tenant,
                progress=lambda message, fraction: request.progress(fraction, "pull", message),
            )
        )
        try:
            while not ensuring.done():
                if not request.wanted():
                    raise LaunchFailed(failures.given_up())
                await asyncio.wait({ensuring}, timeout=_LOOK)
            return ensuring.result()
        finally:
            ensuring.cancel()
            await asyncio.wait({ensuring})

    async def _begin(self, request: Launch, known: Known, ready: Ready, since: int) -> Begun:
        made: str | None = None
        flavour, places = known.flavour, known.readiness.places
        try:
            own = str(self._settings.root.parent)
            seen = await asyncio.to_thread(
                granted.look, request.plan.mounts, self._settings.granted(), own, places
            )
            minors = gpu_nodes.minors(request.gpus)
            body = spec.body(request, ready.facts, self._settings, flavour, seen)
            owner = _owner(body["User"])
            self._places.make(request.name, owner, request.context, request.files)
            made = await self._create(request, body)
            await self._check(made, body, flavour, ready.facts)
            launched = self.shape(request, made, body["User"])
            launched.image, launched.digest, launched.ready = ready.id, ready.digest, since
            launched.asked, launched.gpus = time.time_ns(), minors
            launched.program = body["Entrypoint"][0]
            records.write(self._places.of(request.name), records.LAUNCH, launched)
            records.reserve(self._places.of(request.name))
        except LaunchFailed:
            await self._undo(request.name, made)
            raise
        except (spec.Unfit, granted.Denied) as error:
            raise LaunchFailed(failures.unfit(str(error))) from error
        except (EngineError, OSError, gpu_nodes.Unknown) as error:
            await self._undo(request.name, made)
            raise LaunchFailed(failures.of_host(str(error))) from error
        begun = await self._attach(request, launched)
        try:
            return await self._start(request, begun, seen)
        except BaseException:
            begun.close()
            raise

    async def _create(self, request: Launch, body: spec.Body) -> str:
        try:
            return await self._containers.create(self._settings.container(request.name), body)
        except Conflict as error:
            raise Exists(failures.of_create(error)) from error
        except EngineError as error:
            raise LaunchFailed(failures.of_create(error)) from error

    async def _check(
        self, container: str, body: spec.Body, flavour: Flavour, image: ImageFacts
    ) -> None:
        told = await self._containers.inspect(container)
        found = await self._containers.annotations(container, told)
        lines = readback.differences(told, body, flavour, image)
        lines += image_annotations.differences(found, body)
        if lines:
            raise LaunchFailed(failures.of_difference(lines))

    def shape(self, request: Launch, container: str, user: str) -> Launched:
        """The record of a launch, as far as the launch itself tells."""
        limits = request.plan.limits
        return Launched(
            name=request.name,
            container=container,
            boot_id=request.boot_id,
            wall=limits.wall_time,
            idle=limits.idle_time,
            grace=limits.grace,
            output=limits.output_bytes,
            memory=0 if "memory" in request.plan.unheld else limits.memory_bytes,
            user=user,
            stdin=request.stdin is None,
        )

    async def _attach(self, request: Launch, launched: Launched) -> Begun:
        attached: Attached | None = None
        container, stdin = launched.container, None
        try:
            attached = await self._containers.attach(container, ("stdout", "stderr"))
            if request.stdin is not None:
                stdin = await Stdin.to(self._containers, container, request.stdin)
        except BaseException as error:
            if attached is not None:
                attached.close()
            if not isinstance(error, EngineError):
                raise
            await self._undo(request.name, container)
            if isinstance(error, OutOfReach):
                raise LaunchFailed(failures.of_host(str(error))) from error
            # Podman makes all of the container before it attaches
            raise LaunchFailed(failures.of_start(error, "", request.plan)) from error
        return Begun(launched, attached, stdin)

    async def _start(self, request: Launch, begun: Begun, seen: list[granted.Seen]) -> Begun:
        launched = begun.launched
        container = launched.container
        request.launching(container)
        failpoint("after_create")
        try:
            await self._containers.start(container)
        except OutOfReach:  # it may have been done, whatever the next engine knows of it
            launched.unsure = True
            with contextlib.suppress(OSError):
                records.write(self._places.of(request.name), records.LAUNCH, launched)
            raise
        except EngineError as error:
            it = await self._containers.state(container)
            if not it.running and not it.started:
                await self._undo(launched.name, container)
                raise LaunchFailed(failures.of_start(error, it.error, request.plan)) from error
        it = await self._containers.state(container)
        # before all else: the counters of what is short go with it
        counters = Counters(container, it.pid) if it.pid else None
        if begun.stdin is not None:
            begun.stdin.of(it.pid)
        try:
            running = await self._see(launched, seen, it)
            return replace(begun, running=running, counters=counters)
        except BaseException:
            if counters is not None:
                counters.close()
            raise

    async def _see(self, launched: Launched, seen: list[granted.Seen], it: State) -> bool:
        """Look at what was started whether it is what was asked for. Returns whether the program
        itself runs."""
        container = launched.container
        mark(launched, it)
        records.write(self._places.of(launched.name), records.LAUNCH, launched)
        running = bool(it.pid) and await peek.begun(it.pid)
        if it.pid and not all(self._same(it.pid, each) for each in seen):
            await self._undo(launched.name, container)
            text = "what it was to have mounted was exchanged for something else meanwhile"
            raise LaunchFailed(failures.unfit(text))
        other = ""
        if it.pid:
            other = await peek.loosened(it.pid, launched.user)
            other = other or await self._gpus.difference(container, it.pid, launched.gpus)
        if other:
            await self._undo(launched.name, container)
            raise LaunchFailed(failures.of_difference([other]))
        return running

    @staticmethod
    def _same(pid: int, seen: granted.Seen) -> bool:
        return peek.same_file(pid, seen.target, seen.device, seen.inode) is not False

    def _forget(self, name: str) -> None:
        (self._places.of(name) / records.LAUNCH).unlink(missing_ok=True)

    async def _undo(self, name: str, container: str | None) -> None:
        """Remove what was made and never started; what cannot be now is swept later."""
        self._forget(name)
        if container is not None:
            try:
                await self._containers.remove(container, force=True)
            except EngineError:
                return


def _owner(user: str) -> tuple[int, int]:
    """The ids of "uid:gid", whom the workspace is to belong to. Raises Unfit."""
    uid, _, gid = user.partition(":")
    owner = int(uid), int(gid)
    if os.geteuid() and owner != (os.geteuid(), os.getegid()):
        own = f"{os.geteuid()}:{os.getegid()}"
        text = f"a daemon that is not root runs containers as its own user {own}, not as {user}"
        raise spec.Unfit(text)
    return owner


def _unheld(plan: Plan, known: Known) -> tuple[str, ...]:
    """The limits that its plan takes for held, since it was made before the engine had answered,
    and that the engine would ignore."""
    limits, unheld = plan.limits, known.readiness.unheld.keys() - set(plan.unheld)
    asked = {"memory": limits.memory_bytes, "cpu": limits.cpu_cores}
    asked["processes"] = limits.max_processes
    return tuple(kind for kind, amount in asked.items() if amount and kind in unheld)


def mark(launched: Launched, it: State) -> None:
    """Note when it started, on both clocks: by the engine's word where that is plausible."""
    boot, wall = now(), time.time_ns()
    launched.started = it.started
    launched.start_time = it.started if launched.asked <= it.started <= wall else launched.asked
    launched.start_boot = boot - max(0, wall - launched.start_time)
