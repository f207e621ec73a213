"""One attempt's output as chunks: what is kept, what is missing and why, and one end.

Whether all was read is told by the attempt's exit, which says how much was kept; never by the
end of a file.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from runner.domain.refusal import Refused
from runner.domain.task import Attempt, Task
from runner.engine import refusals
from runner.engine.api import Chunk, OutputEnd, OutputGap
from runner.engine.cursor import Place, output_cursor
from runner.engine.follow import Followers
from runner.ports import Executor, OutputReader, OutputStore, Position

STDOUT, STDERR = 1, 2
_FOREVER = 1 << 62  # further than any stream gets: "do not wake me for this one"

GONE = "no longer kept: the task was acknowledged, or its retention time is over"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where output comes from. `current` gives a task as it stands now."""

    store: OutputStore
    executors: Mapping[str, Executor]
    followers: Followers
    current: Callable[[Task], Awaitable[Task]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a follower wants of one attempt; the start where neither `place` nor `tail` is.
    With `position`, to be told first where that is."""

    streams: frozenset[int]
    place: Place | None
    follow: bool
    tail: int | None
    position: bool = False


async def follow_attempt(
    sources: Sources, task: Task, number: int, wanted: Wanted
) -> AsyncGenerator[Chunk, None]:
    """The chunks of one of the task's attempts, the last of which has its end."""
    attempt = task.attempts[number - 1]
    executor = sources.executors.get(attempt.executor)
    if task.acknowledged or executor is None:
        for chunk in _of_what_is_gone(task, attempt, wanted):
            yield chunk
        return
    reader = sources.store.open(executor.directory(attempt.name))
    sources.followers.join(task.task_id, reader)
    try:
        reading = _Reading(sources, task, number, wanted, reader)
        async with aclosing(reading.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
    finally:
        sources.followers.leave(task.task_id, reader)
        reader.close()


class _Reading:
    """One follower on one attempt. `position` is how far it has read."""

    def __init__(
        self,
        sources: Sources,
        task: Task,
        number: int,
        wanted: Wanted,
        reader: OutputReader,
    ) -> None:
        self._sources, self._wanted, self._reader = sources, wanted, reader
        self._task, self._attempt = task, task.attempts[number - 1]
        self._position = _start(wanted, self._attempt, reader.sizes())

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        if self._wanted.position:
            yield self._chunk(0, 0, b"", 0)
        while True:
            if self._sources.followers.stopped:
                raise refusals.stopping()
            over = self._over
            pieces = await self._reader.read(self._position, self._wanted.streams)
            for piece in pieces:
                self._position = piece.position
                yield self._chunk(piece.stream, piece.offset, piece.data, piece.time)
            if pieces:
                continue
            if over or not self._wanted.follow:
                break
            await self._refresh()
            if not self._over and not self._sources.followers.stopped:
                await self._reader.changed(self._awaited())
                await self._refresh()
        for chunk in self._gaps() if over else ():
            yield chunk
        yield await self._end(over=over)

    @property
    def _over(self) -> bool:
        return self._attempt.end_time != 0

    async def _refresh(self) -> None:
        if not self._over:
            self._task = await self._sources.current(self._task)
            self._attempt = self._task.attempts[self._attempt.number - 1]

    def _awaited(self) -> Position:
        """What to wait beyond: a stream that is not wanted wakes nobody."""
        streams = self._wanted.streams
        return Position(
            self._position.stdout if STDOUT in streams else _FOREVER,
            self._position.stderr if STDERR in streams else _FOREVER,
        )

    def _gaps(self) -> list[Chunk]:
        gaps = []
        for stream in sorted(self._wanted.streams):
            gap = _gap(self._attempt, stream, self._reader.sizes())
            if gap is not None:
                at = _of(self._position, stream)
                gaps.append(self._chunk(stream, at, b"", self._attempt.end_time, gap=gap))
        return gaps

    async def _end(self, *, over: bool) -> Chunk:
        sizes = self._reader.sizes()
        if not over:
            end = OutputEnd(sizes.stdout, sizes.stderr, truncated=False)
            return self._chunk(0, 0, b"", 0, end=end)
        written = _written(self._attempt, sizes)
        truncated = any(_gap(self._attempt, stream, sizes) for stream in (STDOUT, STDERR))
        out, err = await self._reader.digests(_kept(self._attempt, sizes))
        end = OutputEnd(written.stdout, written.stderr, truncated, out, err)
        return self._chunk(0, 0, b"", self._attempt.end_time, end=end)

    def _chunk(
        self,
        stream: int,
        offset: int,
        data: bytes,
        time: int,
        *,
        gap: OutputGap | None = None,
        end: OutputEnd | None = None,
    ) -> Chunk:
        number = self._attempt.number
        place = Place(number, self._position, ended=end is not None and self._over)
        cursor = output_cursor(self._task.task_id, place)
        return Chunk(
            self._task.task_id, number, stream, offset, data, time, cursor, gap=gap, end=end
        )


def _start(wanted: Wanted, attempt: Attempt, sizes: Position) -> Position:
    if wanted.place is not None:
        position = wanted.place.position
        if position.stdout > sizes.stdout or position.stderr > sizes.stderr:
            raise _beyond()
        return position
    if wanted.tail is None:
        return Position()
    kept = _kept(attempt, sizes) if attempt.end_time else sizes
    return Position(max(kept.stdout - wanted.tail, 0), max(kept.stderr - wanted.tail, 0))


def _beyond() -> Refused:
    return refusals.bad_cursor("cursor", "the cursor is beyond what the task has written")


def position_of(task_id: str, place: Place) -> Chunk:
    """A chunk that only says where a reader stands."""
    cursor = output_cursor(task_id, place)
    return Chunk(task_id, place.attempt, 0, 0, b"", 0, cursor)


def _of(position: Position, stream: int) -> int:
    return position.stdout if stream == STDOUT else position.stderr


def _kept(attempt: Attempt, sizes: Position) -> Position:
    """How much of each stream there is to be read, once the attempt has ended."""
    if attempt.exit is None or attempt.exit.lost:
        return sizes
    kept = attempt.exit.kept
    return Position(min(kept.stdout_bytes, sizes.stdout), min(kept.stderr_bytes, sizes.stderr))


def _written(attempt: Attempt, sizes: Position) -> Position:
    """How much the task has written, as far as anybody knows."""
    if attempt.exit is None:
        return sizes
    usage = attempt.exit.usage
    return Position(max(usage.stdout_bytes, sizes.stdout), max(usage.stderr_bytes, sizes.stderr))


def _gap(attempt: Attempt, stream: int, sizes: Position) -> OutputGap | None:
    """What of a stream is missing at its end, once the attempt has ended."""
    if attempt.exit is None:
        return None
    if attempt.exit.lost:
        return OutputGap(0, attempt.exit.lost)
    missing = _of(_written(attempt, sizes), stream) - _of(_kept(attempt, sizes), stream)
    if attempt.exit.kept.unknown:
        return OutputGap(0, attempt.exit.kept.cause)
    if missing <= 0:
        return None
    return OutputGap(missing, attempt.exit.kept.cause or "the file was changed or removed")


def _of_what_is_gone(task: Task, attempt: Attempt, wanted: Wanted) -> list[Chunk]:
    """A gap for each stream that had something, and the end."""
    written = _written(attempt, Position())

    def chunk(stream: int, gap: OutputGap | None, end: OutputEnd | None = None) -> Chunk:
        number, time = attempt.number, attempt.end_time
        place = Place(number, Position(), ended=end is not None)
        cursor = output_cursor(task.task_id, place)
        return Chunk(task.task_id, number, stream, 0, b"", time, cursor, gap=gap, end=end)

    gaps = [
        chunk(stream, OutputGap(_of(written, stream), GONE))
        for stream in sorted(wanted.streams)
        if _of(written, stream)
    ]
    end = OutputEnd(written.stdout, written.stderr, truncated=written != Position())
    return [*gaps, chunk(0, None, end)]
