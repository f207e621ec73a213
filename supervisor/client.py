"""The orchestrator's client of one runner: every call of the protocol, for asyncio.

    async with Supervisor() as runner:
        result = await runner.run({"execution": {"command": ["echo", "hello"]}})

What a call answers is the protocol's own message; `run` makes a `Result` of it. Every call may
be repeated, so UNAVAILABLE is tried again with backoff; streams go on where they were, also
through a restart of the daemon. Other errors are raised as in `errors.py`. To stop reading a
stream early, close it (`contextlib.aclosing`). Leaving a call or the client never stops a task:
`cancel` does.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration

from supervisor import resume
from supervisor.address import resolve
from supervisor.patience import Patience
from supervisor.result import Result
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub

if TYPE_CHECKING:  # the type alone: at run time one class serves both kinds of channel
    from supervisor.v1.supervisor_pb2_grpc import SupervisorAsyncStub

Request = TypeVar("Request")
Answer = TypeVar("Answer")
Payload = bytes | str | Mapping[str, object]

TERMINAL = frozenset(
    {v1.TASK_STATE_COMPLETED, v1.TASK_STATE_FAILED, v1.TASK_STATE_CANCELLED},
)

_OPTIONS = (
    # A dead link is noticed within 30 s; the server takes no pings more often than each 10 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),  # a daemon that hangs, with its host alive
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.use_local_subchannel_pool", 1),  # no other client's backoff holds this one up
    ("grpc.enable_http_proxy", 0),  # a runner is spoken to directly
)


class Supervisor:
    """A connection to the runner at `address` (see `address.resolve`).

    Without `credentials` (see `credentials.py`) the connection is not encrypted: for unix
    sockets and loopback.
    `connect_timeout` is how many seconds a runner that was never reached is waited for,
    `patience` the same for one that has answered before.
    """

    def __init__(
        self,
        address: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        connect_timeout: float = 10.0,
        patience: float = 120.0,
    ) -> None:
        self.address = resolve(address)
        self._credentials = credentials
        self._connect_timeout = connect_timeout
        self._patience = patience
        self._reached = False
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        if self._credentials is None:
            self._channel = grpc.aio.insecure_channel(self.address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(
                self.address, self._credentials, options=_OPTIONS
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the connection; calls that are under way end as cancelled."""
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    # --- single answers ---------------------------------------------------------------------

    async def assign(
        self,
        payload: Payload,
        *,
        task_class: str = "cpu_short",
        task_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        trace_parent: str = "",
    ) -> v1.AssignTaskResponse:
        """Hand a task over; returns once it is durable. An id is made up where none is given.

        `payload` is the JSON document as bytes, text or a mapping; `task_class` is a name
        such as `cpu_long`; `trace_parent` is W3C trace context that the task is to bear.
        """
        request = v1.AssignTaskRequest(
            task_id=new_task_id() if task_id is None else task_id,
            task_class=class_of(task_class),
            payload=encode(payload),
            labels=labels or {},
        )
        metadata = (("traceparent", trace_parent),) if trace_parent else ()
        return await self._call(self._stub().AssignTask, request, metadata)

    async def plan(
        self, payload: Payload, *, task_class: str = "cpu_short", task_id: str = "plan"
    ) -> v1.PlanTaskResponse:
        """What the runner would do with this payload, and whether it could now."""
        request = v1.PlanTaskRequest(
            task_id=task_id, task_class=class_of(task_class), payload=encode(payload)
        )
        return await self._call(self._stub().PlanTask, request)

    async def get(self, task_id: str) -> v1.Task:
        """The task as it stands. Raises NotFound."""
        return await self._call(self._stub().GetTask, v1.GetTaskRequest(task_id=task_id))

    async def cancel(
        self, task_id: str, *, grace: float | None = None, reason: str = ""
    ) -> v1.Task:
        """Ask it to stop; what is left after `grace` seconds (None: the plan's) is killed.

        Returns at once: the task is cancelled when `get` or `watch` says so.
        """
        request = v1.CancelTaskRequest(task_id=task_id, reason=reason)
        if grace is not None:
            request.grace.CopyFrom(_duration(grace))
        return await self._call(self._stub().CancelTask, request)

    async def acknowledge(self, task_ids: Iterable[str]) -> list[str]:
        """Say that their results are safe; returns the ids that were not acknowledged."""
        request = v1.AcknowledgeTasksRequest(task_ids=list(task_ids))
        answer = await self._call(self._stub().AcknowledgeTasks, request)
        return list(answer.not_acknowledged)

    async def drain(self, drain: bool = True, *, reason: str = "") -> v1.Runner:  # noqa: FBT001, FBT002 - reads as what it does: drain(), drain(False)
        """Stop, or start again, taking new tasks."""
        request = v1.SetDrainRequest(drain=drain, reason=reason)
        return await self._call(self._stub().SetDrain, request)

    async def info(self) -> v1.Runner:
        """What this runner is, what it can run, and how full it is."""
        return await self._call(self._stub().GetRunner, v1.GetRunnerRequest())

    # --- lists and streams ------------------------------------------------------------------

    async def list(
        self,
        *,
        states: Iterable[v1.TaskState.ValueType] = (),
        classes: Iterable[str] = (),
        tenant: str = "",
        workflow_id: str = "",
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
    ) -> AsyncGenerator[v1.Task, None]:
        """Tasks, newest first, all pages one after the other; empty means any."""
        request = v1.ListTasksRequest(
            states=list(states),
            classes=[class_of(name) for name in classes],
            tenant=tenant,
            workflow_id=workflow_id,
            labels=labels or {},
            page_size=page_size,
        )
        while True:
            page = await self._call(self._stub().ListTasks, request)
            for task in page.tasks:
                yield task
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(
        self,
        task_ids: Iterable[str] = (),
        *,
        tenant: str = "",
        workflow_id: str = "",
        after: int | None = None,
        now: bool = False,
        until_done: bool = False,
        journal_id: str = "",
    ) -> AsyncGenerator[v1.TaskEvent, None]:
        """Events in order, each once, also through a restart of the daemon.

        From after the sequence `after`, from `now`, or else from the oldest kept. Raises
        FailedPrecondition (JOURNAL_CHANGED) where the runner has begun a new history.
        """
        runner = await self.info()
        request = v1.WatchTasksRequest(
            task_ids=list(task_ids),
            tenant=tenant,
            workflow_id=workflow_id,
            until_done=until_done,
            journal_id=journal_id or runner.journal_id,
        )
        if now:
            request.after_sequence = runner.last_sequence
        elif after is not None:
            request.after_sequence = after
        events = self._unbroken(self._stub().WatchTasks, resume.Watch(request))
        async with aclosing(events):
            async for event in events:
                yield event

    def output(
        self,
        task_id: str,
        *,
        attempt: int = 0,
        streams: Iterable[v1.OutputStream.ValueType] = (),
        cursor: str = "",
        tail_bytes: int | None = None,
        follow: bool = True,
    ) -> AsyncGenerator[v1.OutputChunk, None]:
        """What the task wrote, each byte once, also through a restart of the daemon.

        From the `cursor` of a chunk, from `tail_bytes` before the end of each stream, or else
        from the start. `follow` goes on until the task (or the given attempt) ends.
        """
        request = v1.StreamOutputRequest(
            task_id=task_id, attempt=attempt, streams=list(streams), follow=follow
        )
        if cursor:
            request.cursor = cursor
        elif tail_bytes is not None:
            request.tail_bytes = tail_bytes
        return self._unbroken(self._stub().StreamOutput, resume.Output(request))

    async def run(
        self,
        payload: Payload,
        *,
        task_class: str = "cpu_short",
        task_id: str | None = None,
        labels: Mapping[str, str] | None = None,
        on_output: Callable[[v1.OutputChunk], object] | None = None,
    ) -> Result:
        """Assign a task, hand each chunk of its output to `on_output`, return how it ended."""
        assigned = await self.assign(payload, task_class=task_class, task_id=task_id, labels=labels)
        task = assigned.task
        if on_output is not None:
            async with aclosing(self.output(task.task_id)) as output:
                async for chunk in output:
                    on_output(chunk)
        async for event in self.watch([task.task_id], now=True, until_done=True):
            task = event.task
        return Result(task if task.state in TERMINAL else await self.get(task.task_id))

    # --- the two ways to call ---------------------------------------------------------------

    async def _call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        patience = self._new_patience()
        while True:
            try:
                answer = await method(request, metadata=metadata)
            except grpc.aio.AioRpcError as error:
                await patience.failed(error)
            else:
                self._reached = True
                return answer

    async def _unbroken(
        self,
        method: grpc.aio.UnaryStreamMultiCallable[Request, Answer],
        progress: resume.Progress[Request, Answer],
    ) -> AsyncGenerator[Answer, None]:
        """The messages of a stream, each once; a call that breaks is followed by another."""
        patience = self._new_patience()
        while True:
            call = method(progress.request)
            try:
                await self._connected(call, patience)
                async for message in call:
                    if progress.new(message):
                        yield message
            except grpc.aio.AioRpcError as error:
                await patience.failed(error)
            else:
                return
            finally:
                call.cancel()

    async def _connected(
        self, call: grpc.aio.UnaryStreamCall[Request, Answer], patience: Patience
    ) -> None:
        """Return once the runner has taken the call, which may be long before it has anything
        to say; where it has not, the call's iterator raises."""
        await call.initial_metadata()
        if not call.done():
            self._reached = True
            patience.succeeded(self._patience)

    def _new_patience(self) -> Patience:
        return Patience(self._patience if self._reached else self._connect_timeout)

    def _stub(self) -> SupervisorAsyncStub:
        if self._channel is None:
            raise RuntimeError("use the client within `async with Supervisor() as runner:`")
        return SupervisorStub(self._channel)


def new_task_id() -> str:
    """An id that no other task has."""
    return f"task-{uuid.uuid4().hex}"


def class_of(name: str) -> v1.TaskClass.ValueType:
    """The class of that name (`cpu_short`). Raises ValueError with the names there are."""
    values = {key.removeprefix("TASK_CLASS_").lower(): value for key, value in v1.TaskClass.items()}
    del values["unspecified"]
    if name not in values:
        raise ValueError(f"no task class is named {name!r}; there are {', '.join(values)}")
    return values[name]


def encode(payload: Payload) -> bytes:
    """The payload as the bytes of its JSON document."""
    if isinstance(payload, bytes):
        return payload
    text = payload if isinstance(payload, str) else json.dumps(payload, allow_nan=False)
    return text.encode()


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * 1_000_000_000)
    whole = int(nanos / 1_000_000_000)  # towards zero: both parts of a Duration have one sign
    return Duration(seconds=whole, nanos=nanos - whole * 1_000_000_000)
