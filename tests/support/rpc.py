"""A gRPC edge under test: real servers on unix sockets, and an engine that does as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from runner.domain.principal import LOCAL, Principal
from runner.domain.refusal import Code, Refused
from runner.domain.task import EventType, Task
from runner.edges.rpc.calls import Calls
from runner.edges.rpc.listen import Listener
from runner.edges.rpc.server import RpcServers, RpcSettings
from runner.engine.api import (
    Assignment,
    Chunk,
    ListRequest,
    OutputRequest,
    Planned,
    Status,
    WatchRequest,
)
from runner.ports import Event, Refusal
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub
from tests.support.tasks import a_plan, a_task

STATUS = Status("runner-1", "0", False, (), (), 2.0, 2.0, 1, 1, 1, 1, 7, "journal-1")


@dataclass
class Notes:
    """An observer that remembers."""

    notes: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        pass

    def refused(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    def note(self, event: str, **fields: object) -> None:
        self.notes.append((event, fields))


@dataclass
class ObedientEngine:
    """Answers with what it was given, or raises it; remembers who asked for what."""

    error: Exception | None = None
    tasks: list[Task] = field(default_factory=lambda: [a_task()])
    events: list[Event] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    hold: set[str] = field(default_factory=set)  # the calls that wait for the gate
    asked: list[tuple[str, Principal, object]] = field(default_factory=list)
    sent: int = 0  # messages of streams that were taken from it
    closed: int = 0  # streams that were let go

    async def assign(self, who: Principal, request: Assignment) -> tuple[Task, bool]:
        await self._asked("assign", who, request)
        return a_task(request.task_id), True

    async def plan(self, who: Principal, request: Assignment) -> Planned:
        await self._asked("plan", who, request)
        return Planned(a_plan(), "draining: not now")

    async def get(self, who: Principal, task_id: str) -> Task:
        await self._asked("get", who, task_id)
        return self.tasks[0]

    async def page(self, who: Principal, request: ListRequest) -> tuple[list[Task], str]:
        await self._asked("page", who, request)
        start = int(request.page_token or "0")
        end = start + (request.page_size or 100)
        return self.tasks[start:end], str(end) if end < len(self.tasks) else ""

    async def cancel(self, who: Principal, task_id: str, grace: float | None, reason: str) -> Task:
        await self._asked("cancel", who, (task_id, grace, reason))
        return self.tasks[0]

    async def acknowledge(self, who: Principal, task_ids: Sequence[str]) -> list[str]:
        await self._asked("acknowledge", who, task_ids)
        return ["unknown"]

    async def watch(self, who: Principal, request: WatchRequest) -> AsyncIterator[Event]:
        try:
            await self._asked("watch", who, request)
            for event in self.events:
                self.sent += 1
                yield event
        finally:
            self.closed += 1

    async def output(self, who: Principal, request: OutputRequest) -> AsyncIterator[Chunk]:
        try:
            await self._asked("output", who, request)
            for chunk in self.chunks:
                self.sent += 1
                yield chunk
        finally:
            self.closed += 1

    async def status(self, who: Principal) -> Status:
        await self._asked("status", who, None)
        return STATUS

    async def set_drain(self, who: Principal, drain: bool, reason: str) -> Status:  # noqa: FBT001 - the request's field
        await self._asked("set_drain", who, (drain, reason))
        return STATUS

    def stop(self) -> None:
        """What the engine does when the daemon stops: streams end, and calls that wait."""
        self.error = Refused(Code.UNAVAILABLE, "STOPPING", "the runner is stopping")
        self.gate.set()

    async def _asked(self, call: str, who: Principal, what: object) -> None:
        self.asked.append((call, who, what))
        if call in self.hold:
            await self.gate.wait()
        if self.error is not None:
            raise self.error


@asynccontextmanager
async def serving(
    engine: Calls,
    directory: Path,
    *principals: Principal,
    settings: RpcSettings | None = None,
    notes: Notes | None = None,
) -> AsyncIterator[list[str]]:
    """Serve each principal (LOCAL where none is said) on its own socket, `0.sock` onwards."""
    listeners = [
        Listener(f"unix:{directory}/{index}.sock", who)
        for index, who in enumerate(principals or (LOCAL,))
    ]
    servers = RpcServers(listeners, notes or Notes(), settings or RpcSettings())
    servers.claim()
    addresses = await servers.start(engine)
    try:
        yield addresses
    finally:
        await servers.stop(0)


@asynccontextmanager
async def stub_at(
    address: str, options: Sequence[tuple[str, int]] = ()
) -> AsyncIterator[SupervisorStub]:
    """A client's stub with a connection of its own."""
    own = (("grpc.use_local_subchannel_pool", 1), *options)
    async with grpc.aio.insecure_channel(address, options=own) as channel:
        yield SupervisorStub(channel)


def details(error: grpc.aio.AioRpcError) -> dict[str, Message]:
    """The details of google.rpc in the trailer, by the names of their types."""
    kinds = {
        "BadRequest": error_details_pb2.BadRequest,
        "ErrorInfo": error_details_pb2.ErrorInfo,
        "RetryInfo": error_details_pb2.RetryInfo,
    }
    found: dict[str, Message] = {}
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                name = detail.type_url.rpartition(".")[2]
                found[name] = kinds[name]()
                detail.Unpack(found[name])
    return found


def a_chunk(number: int, size: int = 65536) -> Chunk:
    """The `number`-th chunk of `size` bytes of a task's stdout."""
    data = bytes([number % 256]) * size
    return Chunk("t1", 1, 1, number * size, data, 1, f"cursor-{number + 1}")


def an_event(sequence: int) -> Event:
    """An event whose task says its sequence."""
    return Event(sequence, sequence, EventType.STARTED, a_task(sequence=sequence))


GET = v1.GetTaskRequest(task_id="t1")
