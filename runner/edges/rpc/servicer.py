"""The service: each call translated, asked of the engine, translated back.

Errors, roles and places are `guard.py`'s; what is allowed and what happens, the engine's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from runner.domain.principal import Principal
from runner.edges.rpc.calls import Calls
from runner.edges.rpc.convert_request import (
    from_assign,
    from_list,
    from_output,
    from_plan,
    from_watch,
    grace_of,
    reason_of,
    trace_parent_of,
)
from runner.edges.rpc.convert_runner import to_runner
from runner.edges.rpc.convert_task import Link, no_link, to_chunk, to_event, to_plan, to_task
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorServicer

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

_Item = TypeVar("_Item")

_PAGE_BYTES = 3 << 20
"""A page of tasks stays below the 4 MiB that gRPC clients take by default."""


class Servicer(SupervisorServicer):
    """Answers the callers of one listener, who are all `who`; `link` gives a logs_url."""

    def __init__(self, engine: Calls, who: Principal, link: Link = no_link) -> None:
        self._engine = engine
        self._who = who
        self._link = link

    async def AssignTask(
        self, request: v1.AssignTaskRequest, context: Context
    ) -> v1.AssignTaskResponse:
        assignment = from_assign(request, trace_parent_of(context.invocation_metadata()))
        task, created = await self._engine.assign(self._who, assignment)
        return v1.AssignTaskResponse(task=to_task(task, self._link), created=created)

    async def PlanTask(self, request: v1.PlanTaskRequest, context: Context) -> v1.PlanTaskResponse:
        planned = await self._engine.plan(self._who, from_plan(request))
        return v1.PlanTaskResponse(
            plan=to_plan(planned.plan),
            runnable_now=not planned.blocked_by,
            blocked_by=planned.blocked_by,
        )

    async def GetTask(self, request: v1.GetTaskRequest, context: Context) -> v1.Task:
        return to_task(await self._engine.get(self._who, request.task_id), self._link)

    async def ListTasks(
        self, request: v1.ListTasksRequest, context: Context
    ) -> v1.ListTasksResponse:
        wanted = from_list(request)
        while True:
            tasks, token = await self._engine.page(self._who, wanted)
            answer = v1.ListTasksResponse(next_page_token=token)
            size = 0
            for task in tasks:
                message = to_task(task, self._link)
                size += message.ByteSize()
                if size > _PAGE_BYTES and answer.tasks:
                    break
                answer.tasks.append(message)
            else:
                return answer
            # Too large a page: ask for as many as fit, for their own page token.
            wanted = replace(wanted, page_size=len(answer.tasks))

    async def CancelTask(self, request: v1.CancelTaskRequest, context: Context) -> v1.Task:
        grace, reason = grace_of(request), reason_of(request)
        task = await self._engine.cancel(self._who, request.task_id, grace, reason)
        return to_task(task, self._link)

    async def AcknowledgeTasks(
        self, request: v1.AcknowledgeTasksRequest, context: Context
    ) -> v1.AcknowledgeTasksResponse:
        missing = await self._engine.acknowledge(self._who, tuple(request.task_ids))
        return v1.AcknowledgeTasksResponse(not_acknowledged=missing)

    async def WatchTasks(
        self, request: v1.WatchTasksRequest, context: Context
    ) -> AsyncIterator[v1.TaskEvent]:
        async with _closing(self._engine.watch(self._who, from_watch(request))) as events:
            async for event in events:
                yield to_event(event, self._link)

    async def StreamOutput(
        self, request: v1.StreamOutputRequest, context: Context
    ) -> AsyncIterator[v1.OutputChunk]:
        async with _closing(self._engine.output(self._who, from_output(request))) as chunks:
            async for chunk in chunks:
                yield to_chunk(chunk)

    async def GetRunner(self, request: v1.GetRunnerRequest, context: Context) -> v1.Runner:
        return to_runner(await self._engine.status(self._who))

    async def SetDrain(self, request: v1.SetDrainRequest, context: Context) -> v1.Runner:
        return to_runner(await self._engine.set_drain(self._who, request.drain, reason_of(request)))


@asynccontextmanager
async def _closing(stream: AsyncIterator[_Item]) -> AsyncIterator[AsyncIterator[_Item]]:
    """The stream, closed with the call: what the engine holds for it is let go at once."""
    try:
        yield stream
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
