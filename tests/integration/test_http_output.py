"""A task's output over HTTP: by signed link, as bytes, whole or visibly not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path

import pytest

from runner.domain.principal import LOCAL, Principal
from runner.domain.task import EventType
from runner.engine.api import Chunk, OutputRequest
from tests.support.engine import assign, ended, until
from tests.support.http import exchange, parsed, request
from tests.support.served import Served, served
from tests.support.waiting import until as waited

BOTH = (["write", 1, "b3V0Cg=="], ["write", 2, "ZXJyCg=="], ["exit", 0])


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        made.begin()
        yield made


async def test_the_link_of_a_result_gives_the_bytes_of_both_streams_or_one(http: Served) -> None:
    await assign(http.engine, "t1", *BOTH)
    task = await ended(http.engine)
    path = http.links.of(task).removeprefix("http://worker-7")
    answer = await http.get(path)
    assert (answer.status, answer.whole) == (200, True)
    assert sorted(answer.body.splitlines()) == [b"err", b"out"]
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["cache-control"] == "no-store"
    assert (await http.get(f"{path}&stream=stdout")).body == b"out\n"
    assert (await http.get(f"{path}&stream=stderr&attempt=1&follow=false")).body == b"err\n"
    head = await http.get(path, method="HEAD")
    assert (head.status, head.body) == (200, b"")


@pytest.mark.parametrize(
    "more",
    ["stream=", "stream=3", "stream=stdout&stream=stderr", "attempt=0", "attempt=2", "attempt=x",
     "attempt=%D9%A1", f"attempt={'1' * 5000}", "follow=yes", "streem=stdout", "%00=1"],
)  # fmt: skip
async def test_a_bad_value_is_400_and_says_which(http: Served, more: str) -> None:
    await assign(http.engine, "t1", *BOTH)
    answer = await http.get(http.link(await ended(http.engine), f"&{more}"))
    assert answer.status == 400
    assert len(answer.body) < 200


async def test_without_a_right_signature_it_is_401_whether_there_is_such_a_task_or_not(
    http: Served,
) -> None:
    await assign(http.engine, "t1", *BOTH)
    link = http.link(await ended(http.engine))
    bare = await http.get("/tasks/t1/logs")
    assert bare.status == 401
    assert "www-authenticate" in bare.headers
    for path in (link[:-1] + "x", link.replace("t1", "t2"), link + "&signature=1"):
        answer = await http.get(path)
        assert answer.status == 401
        assert b"out" not in answer.body
    assert (await http.get("/tasks/nobody/logs")).body == bare.body


async def test_a_task_that_is_not_held_is_404_and_an_acknowledged_one_410(http: Served) -> None:
    task = await assign(http.engine, "t1", *BOTH)
    link = http.link(await ended(http.engine))
    await http.engine.acknowledge(LOCAL, ["t1"])
    assert (await http.get(link)).status == 410
    await http.rig.journal.forget(["t1"], 1)
    assert (await http.get(link)).status == 404
    assert (await http.get(http.link(task).replace("/t1/", "/..%2ft1/"))).status == 401


async def test_a_follower_gets_what_comes_until_the_task_has_ended(http: Served) -> None:
    task = await assign(
        http.engine, "t1", ["write", 1, "b25lCg=="], ["sleep", 0.05], ["write", 1, "dHdvCg=="]
    )
    answer = await http.get(http.link(task, "&follow=true"))
    assert (answer.body, answer.whole) == (b"one\ntwo\n", True)


async def test_a_follower_that_the_stop_cuts_off_is_not_told_an_end(http: Served) -> None:
    task = await assign(http.engine, "t1", ["write", 1, "b25lCg=="], ["sleep", 1000])
    await until(http.engine, "t1", EventType.STARTED)
    following = asyncio.create_task(
        exchange(http.address, request(http.link(task, "&follow=true")))
    )
    await waited(lambda: http.engine.vitals().followers == 1, "it follows")
    await http.engine.close()
    data = await following
    assert not data or not parsed(data).whole


async def test_a_reader_that_leaves_is_followed_for_no_longer(http: Served) -> None:
    task = await assign(http.engine, "t1", ["sleep", 1000])
    await until(http.engine, "t1", EventType.STARTED)
    host, _, port = http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request(http.link(task, "&follow=1")))
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    await waited(lambda: http.engine.vitals().followers == 1, "it follows")
    writer.close()
    await writer.wait_closed()
    await waited(lambda: http.engine.vitals().followers == 0, "it follows no longer")


async def test_a_slow_reader_holds_a_bounded_part_of_the_output(http: Served) -> None:
    size = 32 << 20
    task = await assign(http.engine, "t1", ["fill", 1, "eA==", size])
    link = http.link(task, "&follow=1")
    host, _, port = http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
    writer.write(request(link))
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    await ended(http.engine)  # the task is not held up
    assert http.engine.vitals().followers == 1
    writer.transport.abort()
    answer = await http.get(link)
    assert (len(answer.body), answer.whole) == (size, True)


async def test_an_answer_that_fails_midway_is_cut_off_and_the_log_says_why(
    http: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await assign(http.engine, "t1", *BOTH)
    await ended(http.engine)
    whole = http.engine.output

    async def broken(who: Principal, wanted: OutputRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in whole(who, wanted):
            yield chunk
            raise RuntimeError("the disk is gone")

    monkeypatch.setattr(http.engine, "output", broken)
    data = await exchange(http.address, request(http.link(task)))
    assert not data or not parsed(data).whole
    assert http.rig.notes.said("internal error")
