"""The executor's end of a link to a keeper, as far as no keeper is needed."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from runner.executors.local.link import Dismissed, Link
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


async def test_an_error_for_somebody_who_has_given_up_is_nobody_elses() -> None:
    """Who asked for a launch was told otherwise that it failed, while the keeper began it."""
    ours, its = socket.socketpair()
    ours.setblocking(False)
    link = Link(ours, lambda _: None, lambda _: None)
    with its:
        given_up = asyncio.create_task(link.ask({"type": "open"}))
        launching = asyncio.create_task(link.ask({"type": "launch"}))
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.wait({given_up})
        its.send(encode({"type": "error", "id": 1, "code": "ABSENT", "message": "no such file"}))
        its.send(encode({"type": "done", "id": 2, "state": "running"}))
        reply, _ = await launching
        assert reply["state"] == "running"
    link.close()


async def test_who_is_hung_up_on_does_not_take_it_for_an_answer_to_what_it_asked() -> None:
    ours, its = socket.socketpair()
    ours.setblocking(False)
    link = Link(ours, lambda _: None, lambda _: None)
    with its:
        launching = asyncio.create_task(link.ask({"type": "launch"}))
        await asyncio.sleep(0)
        its.send(encode({"type": "error", "id": 0, "code": "BAD_FILES", "message": "too many"}))
        with pytest.raises(Dismissed, match="too many"):
            await launching
    link.close()
