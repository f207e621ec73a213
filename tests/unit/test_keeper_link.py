"""The executor's end of a link to a keeper, as far as no keeper is needed."""

from __future__ import annotations

import asyncio
import socket
import tempfile
from pathlib import Path

import pytest

from runner.executors.local.link import KeeperRefused, Link
from runner.keeper.messages import Message, encode


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


async def test_an_error_for_somebody_who_has_given_up_fails_nobody_else() -> None:
    ours, its = socket.socketpair()
    ours.setblocking(False)
    told: list[Message] = []
    link = Link(ours, told.append, lambda _: None)
    given_up = asyncio.create_task(link.ask({"type": "open"}))
    waiting = asyncio.create_task(link.ask({"type": "launch"}))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    with its:
        its.sendall(encode({"type": "error", "id": 1, "code": "ABSENT", "message": "gone"}))
        its.sendall(encode({"type": "done", "id": 2}))
        link._read()
        assert (await waiting)[0]["id"] == 2
    assert told == []
    link.close()


async def test_an_error_of_no_request_is_that_of_all() -> None:
    ours, its = socket.socketpair()
    ours.setblocking(False)
    link = Link(ours, lambda _: None, lambda _: None)
    waiting = [asyncio.create_task(link.ask({"type": each})) for each in ("open", "launch")]
    await asyncio.sleep(0)
    with its:
        its.sendall(encode({"type": "error", "id": 0, "code": "NEWER", "message": "another"}))
        link._read()
        for each in waiting:
            with pytest.raises(KeeperRefused, match="another"):
                await each
    link.close()
