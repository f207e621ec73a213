"""An engine on fakes: what outlives it, and how to ask it for things in few words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from runner.domain.plan import Mode
from runner.domain.principal import LOCAL, Principal
from runner.domain.task import EventType, Task, TaskClass
from runner.engine.api import Assignment, Chunk, OutputRequest, WatchRequest
from runner.engine.service import Engine
from runner.engine.settings import Settings
from runner.executors.fake import FakeExecutor, FakeWorld, fake_argv
from runner.planning.policy import ClassRules, Host, Policy, Rules
from runner.ports import Event, Executor, Observer, Refusal
from runner.storage.memory import MemoryJournal
from runner.storage.memory_output import MemoryOutput
from tests.support.clock import LoopClock
from tests.support.tasks import LIMITS

SHORT, LONG = "cpu_short", "cpu_long"
RULES = Rules(
    classes={
        name: ClassRules(
            defaults=replace(LIMITS, idle_time=None),
            limits=replace(LIMITS, grace=30.0, cpu_cores=4.0, output_bytes=1 << 30),
            max_running=slots,
        )
        for name, slots in ((TaskClass.CPU_SHORT, 3), (TaskClass.CPU_LONG, 1))
    },
    policy=Policy(),
    host=Host({"local": frozenset({Mode.NATIVE})}, cpu_cores=4.0, memory_bytes=8 << 30),
)
SETTINGS = Settings("runner-1", "1.0", "boot-1", Path("/state"))


@dataclass
class Notes:
    """See `runner.ports.Observer`: remembers what it is told."""

    notes: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    refused_of: list[Refusal] = field(default_factory=list)
    steps: list[EventType | None] = field(default_factory=list)

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        self.steps.append(type_)

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal.reason)
        self.refused_of.append(refusal)

    def note(self, event: str, **fields: object) -> None:
        self.notes.append((event, fields))

    def said(self, event: str) -> bool:
        return any(said == event for said, _ in self.notes)


class Rig:
    """What outlives an engine. Made on the running loop."""

    def __init__(self, *, rules: Rules = RULES, settings: Settings = SETTINGS) -> None:
        self.clock, self.notes = LoopClock(), Notes()
        self.observer: Observer = self.notes
        self.output = MemoryOutput()
        self.world = FakeWorld(wall=self.clock.wall, sink=self.output.sink)
        self.journal = MemoryJournal()
        self.rules, self.settings = rules, settings
        self.disk = (100, 50, 50)
        self.reserve_out = False

    def engine(self, *, executors: Mapping[str, Executor] | None = None) -> Engine:
        """An engine that was not started."""
        return Engine(
            self.journal,
            {"local": FakeExecutor(self.world)} if executors is None else executors,
            self.output,
            self.clock,
            self.observer,
            self.rules,
            self.settings,
            disk=lambda _path: self.disk,
            reserve_out=lambda: self.reserve_out,
            there=lambda path: path.parent.name in self.world.known(),
        )

    async def start(self) -> Engine:
        """An engine that serves."""
        engine = self.engine()
        await engine.start()
        return engine

    async def restart(self, engine: Engine) -> Engine:
        """The next engine, after this one was closed."""
        await engine.close()
        self.journal = self.journal.reopened()
        return await self.start()


def payload(*steps: list[object], **keys: Any) -> bytes:
    """A payload whose program takes these steps. `keys` are those of the document, and of
    `execution` by the names `resources`, `retry` and `stdin`."""
    execution = {"command": list(fake_argv(*steps))}
    for name in ("resources", "retry", "stdin"):
        if name in keys:
            execution[name] = keys.pop(name)
    return json.dumps({"execution": execution, **keys}).encode()


def assignment(
    task_id: str = "t1",
    *steps: list[object],
    of: str = SHORT,
    labels: Mapping[str, str] | None = None,
    **keys: Any,
) -> Assignment:
    """A request to run these steps."""
    return Assignment(task_id, of, payload(*steps, **keys), labels or {})


async def assign(engine: Engine, task_id: str = "t1", *steps: list[object], **keys: Any) -> Task:
    """Assign it as one who may do all."""
    task, _ = await engine.assign(LOCAL, assignment(task_id, *steps, **keys))
    return task


async def events(
    engine: Engine, *task_ids: str, who: Principal = LOCAL, **keys: Any
) -> list[Event]:
    """The events of these tasks until all have ended."""
    request = WatchRequest(task_ids=task_ids, until_done=True, **keys)
    return [event async for event in engine.watch(who, request)]


async def ended(engine: Engine, task_id: str = "t1") -> Task:
    """The task, once it has ended."""
    return (await events(engine, task_id))[-1].task


async def until(engine: Engine, task_id: str, type_: EventType) -> Task:
    """The task as it stood right after its next or first event of this type."""
    async for event in engine.watch(LOCAL, WatchRequest(task_ids=(task_id,))):
        if event.type is type_:
            return event.task
    raise AssertionError("a watch without until_done does not end")


async def read(engine: Engine, task_id: str = "t1", **keys: Any) -> list[Chunk]:
    """All chunks of its output."""
    request = OutputRequest(task_id, **keys)
    return [chunk async for chunk in engine.output(LOCAL, request)]


def text(chunks: list[Chunk], stream: int = 1, attempt: int | None = None) -> bytes:
    """The bytes of a stream."""
    return b"".join(
        chunk.data
        for chunk in chunks
        if chunk.stream == stream and attempt in {None, chunk.attempt}
    )
