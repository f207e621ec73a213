"""What strangers send to the HTTP port (B49): each gets a 4xx or is closed, and nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.http import exchange, parsed, request
from tests.support.served import Served, served


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path, idle=0.3, connections=20) as made:
        made.begin()
        yield made
        assert (await made.get("/readyz")).status == 200  # whatever came before
        assert not made.rig.notes.said("internal error")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
async def test_only_get_and_head_are_answered(http: Served, method: str) -> None:
    answer = await http.get("/metrics", "Cookie: secret", method=method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert b"secret" not in answer.body


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/metrics/", "/", "*",
     "/healthz%00", "/tasks//logs", "/tasks/a/b/logs", "/tasks/../metrics/logs"],
)  # fmt: skip
async def test_there_is_no_other_path(http: Served, path: str) -> None:
    answer = await http.get(path)
    assert 400 <= answer.status < 500
    assert b"root:" not in answer.body


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /metrics?" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 200_000 + b"\r\n",
    ],
    ids=["query", "header", "headers"],
)
async def test_a_head_without_measure_is_400_or_closed(http: Served, sent: bytes) -> None:
    # Where the rest is still on its way when it closes, the answer may be lost with it.
    data = await exchange(http.address, sent)
    assert not data or parsed(data).status in {400, 414, 431}


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_turned_down(http: Served, sent: bytes) -> None:
    answer = parsed(await exchange(http.address, sent))
    assert 400 <= answer.status < 500
    assert answer.headers["server"] == "env-runner"
    assert b"garbage" not in answer.body


async def test_a_request_with_a_body_is_turned_down(http: Served) -> None:
    head = request("/metrics", "Content-Length: 1000000")
    assert parsed(await exchange(http.address, head, b"x" * 1000)).status == 400


@pytest.mark.parametrize("sent", [b"", b"GET /met", b"GET / HTTP/1.1\r\nHost: local"])
async def test_a_request_that_does_not_come_in_is_closed(http: Served, sent: bytes) -> None:
    assert await exchange(http.address, sent) == b""  # once the server has closed


async def test_a_request_that_dribbles_in_is_closed(http: Served) -> None:
    host, _, port = http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    closed = asyncio.create_task(reader.read())
    async with asyncio.timeout(30):
        while not closed.done():  # a header each turn, and never the end of them
            writer.write(b"GET /metrics HTTP/1.1\r\n" if not writer.is_closing() else b"")
            await asyncio.wait({closed}, timeout=0.1)
    assert closed.exception() is not None or not closed.result().startswith(b"HTTP/1.1 2")
    writer.close()


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:1", 200), ("127.0.0.1:9464", 200), ("worker-7", 200),
        ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost.evil", 421),
        ("", 400), ("a b", 421), ("[::1", 400),
    ],
)  # fmt: skip
async def test_a_request_has_to_name_this_daemon(http: Served, host: str, status: int) -> None:
    data = await exchange(http.address, request("/healthz", host=host))
    assert parsed(data).status == status


async def test_two_host_headers_are_turned_down(http: Served) -> None:
    assert (await http.get("/healthz", "Host: evil.example")).status == 400


async def test_one_connection_too_many_is_closed_and_those_before_are_answered(
    http: Served,
) -> None:
    host, _, port = http.address.rpartition(":")
    held = [await asyncio.open_connection(host, int(port)) for _ in range(20)]
    assert await exchange(http.address, request("/healthz")) == b""
    reader, writer = held[0]
    writer.write(request("/healthz"))
    assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
    for _, other in held:
        other.close()
