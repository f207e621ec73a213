"""Where a stream stands, so that a new call goes on right after the last message taken.

Pure: requests in, requests out. The server is asked to tell positions: without them a stream
that was told nothing yet would begin elsewhere the next time, and one that is seldom told
anything could fall behind the history. They are noted here and handed to nobody. A server may
repeat, at the seam, a message that carries no bytes (an end, a gap), since a cursor does not
count those; `new` says which were seen.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from supervisor.v1 import supervisor_pb2 as v1

Request_co = TypeVar("Request_co", covariant=True)
Message_contra = TypeVar("Message_contra", contravariant=True)


class Progress(Protocol[Request_co, Message_contra]):
    """What both are: the request that goes on from here, and which messages are new."""

    @property
    def request(self) -> Request_co:
        """The next call's."""
        ...

    def new(self, message: Message_contra, /) -> bool:
        """Note the message; False where it was there before, or says a position alone."""
        ...


class Watch:
    """The state of one WatchTasks stream."""

    def __init__(self, request: v1.WatchTasksRequest) -> None:
        request.positions = True
        self.request = request

    def new(self, event: v1.TaskEvent) -> bool:
        """Note the event; False where it was there before, or is none but a position."""
        if event.sequence <= self.request.after_sequence:
            return False
        self.request.after_sequence = event.sequence
        return event.type != v1.TASK_EVENT_TYPE_UNSPECIFIED


class Output:
    """The state of one StreamOutput stream."""

    def __init__(self, request: v1.StreamOutputRequest) -> None:
        request.positions = True
        self.request = request
        self._told: set[tuple[int, int, int, str]] = set()  # ends and gaps of this attempt
        self._attempt = 0

    def new(self, chunk: v1.OutputChunk) -> bool:
        """Note the chunk; False where it was there before, or is none but a position."""
        if chunk.attempt != self._attempt:
            self._attempt = chunk.attempt
            self._told.clear()
        if chunk.cursor:
            self.request.cursor = chunk.cursor
        if chunk.data:
            return True
        if not (chunk.HasField("end") or chunk.HasField("gap")):
            return False
        kind = "end" if chunk.HasField("end") else "gap"
        seen = (chunk.attempt, chunk.stream, chunk.offset, kind)
        if seen in self._told:
            return False
        self._told.add(seen)
        return True
