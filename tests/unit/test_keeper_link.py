"""The executor's end of a link to a keeper, as far as no keeper is needed."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from runner.executors.local.link import Link
from runner.keeper.messages import encode


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_file_for_somebody_who_has_just_given_up_is_closed() -> None:
    ours, its = socket.socketpair()
    ours.setblocking(False)
    link = Link(ours, lambda _: None, lambda _: None)
    with tempfile.TemporaryFile() as file, its:
        before = descriptors()
        asking = asyncio.create_task(link.ask({"type": "open"}))
        await asyncio.sleep(0)
        answer = encode({"type": "done", "id": 1, "files": 1})
        socket.send_fds(its, [answer], [file.fileno()])
        link._read()  # it is there, and its asker has not run since
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert descriptors() == before
    link.close()
