"""The output of a task as a stream: from a point of one attempt to its end, and on to the next.

Followers read files; nobody's reading speed touches the task or another follower. What one
attempt yields is in `attempt_output.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from runner.domain.principal import Principal
from runner.domain.refusal import Code, Refused
from runner.domain.task import Task
from runner.engine import refusals
from runner.engine.api import Chunk, OutputRequest
from runner.engine.attempt_output import Sources, Wanted, follow_attempt, position_of
from runner.engine.cursor import Place, read_output_cursor
from runner.ports import Position

BOTH = frozenset({1, 2})

Find = Callable[[Principal, str], Awaitable[Task]]


@dataclass(frozen=True, slots=True)
class Output:
    """`find` gives a task that the caller may see, and raises Refused where there is none."""

    sources: Sources
    find: Find

    async def stream(self, who: Principal, request: OutputRequest) -> AsyncGenerator[Chunk, None]:
        """What `request` asks for; see `StreamOutput` of the protocol. Raises Refused."""
        task = await self.find(who, request.task_id)
        place, number = _begin(task, request)
        tail, position = request.tail_bytes, request.positions
        if position and place is not None:
            position = False
            yield position_of(task.task_id, place)
        while True:
            if place is not None and place.ended:  # all of that attempt was told
                if request.attempt:
                    return
                place, tail, number = None, None, number + 1
            elif number <= len(task.attempts):
                wanted = Wanted(
                    request.streams or BOTH, place, request.follow, tail, position=position
                )
                reading = follow_attempt(self.sources, task, number, wanted)
                async with aclosing(reading):
                    async for chunk in reading:
                        yield chunk
                if request.attempt:
                    return
                place, tail, position, number = None, None, False, number + 1
                task = await self.find(who, request.task_id)
            elif request.follow and not task.state.terminal:
                await self.sources.followers.changed(task.task_id)
                if self.sources.followers.stopped:
                    raise refusals.stopping()
                task = await self.find(who, request.task_id)
            else:
                return


def _begin(task: Task, request: OutputRequest) -> tuple[Place | None, int]:
    """Where to begin: the place, where a cursor says it, and the attempt's number."""
    if request.attempt < 0 or request.attempt > len(task.attempts):
        message = f"the task has no attempt {request.attempt} yet; it has {len(task.attempts)}"
        raise Refused.of_field(Code.OUT_OF_RANGE, "attempt", "NO_ATTEMPT", message)
    if request.cursor is None:
        if not task.attempts:  # nothing is written yet: its end is its start
            return Place(1, Position()), 1
        return None, request.attempt or len(task.attempts)
    place = read_output_cursor(task.task_id, request.cursor)
    if request.attempt not in {0, place.attempt}:
        message = f"the cursor is of attempt {place.attempt}"
        raise refusals.bad_cursor("cursor", message)
    begun = place.position != Position() or place.ended
    if place.attempt > max(len(task.attempts), 1) or (begun and not task.attempts):
        raise refusals.bad_cursor("cursor", "the cursor is of an attempt that is not there")
    return place, place.attempt
