"""HTTP of a real daemon: its links, its page before Prometheus' own judge, its port."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from supervisor.errors import InvalidArgument
from tests.support.daemon import Daemon, daemon
from tests.support.http import exchange, get, parsed, request
from tests.support.metrics import promtool

HELLO = {"execution": {"command": ["echo", "hello"]}}


@pytest.fixture
async def served(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root, HTTP__LISTEN="127.0.0.1:0") as made:
        yield made


def lines(served: Daemon, event: str) -> list[dict[str, str]]:
    found = [json.loads(line) for line in served.log.read_text().splitlines()]
    return [line for line in found if line["event"] == event]


def address(served: Daemon) -> str:
    """Where it answers now; it takes a free port at each start."""
    return lines(served, "answering HTTP")[-1]["address"]


def path_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


async def test_a_link_opens_the_output_and_still_does_after_a_restart(served: Daemon) -> None:
    async with served.client() as runner:
        await runner.assign(HELLO, task_id="t1")
        events = [event async for event in runner.watch(["t1"], until_done=True)]
        link = (await runner.get("t1")).result.logs_url
    assert events[-1].task.result.logs_url == link
    assert link.startswith(f"http://{address(served)}/tasks/t1/logs?")
    assert (await get(address(served), path_of(link))).body == b"hello\n"
    served.kill()
    await served.start()
    assert (await get(address(served), path_of(link))).body == b"hello\n"


async def test_what_is_thrown_at_it_is_counted_and_the_page_stays_readable(served: Daemon) -> None:
    """B50, and what each refusal counts."""
    async with served.client() as runner:
        for number in range(3):
            with pytest.raises(InvalidArgument):
                await runner.assign({"tenant": f'{number}"\n\\'}, task_id=f"t{number}")
        await runner.assign(HELLO, task_id="t1")
        async for _ in runner.watch(["t1"], until_done=True):
            pass
        info = await runner.info()
    page = (await get(address(served), "/metrics")).text
    refused = 'env_runner_tasks_refused_total{code="INVALID_ARGUMENT",task_class="cpu_short"} 3.0'
    assert refused in page
    for labels in (
        'rpc_duration_seconds_count{code="INVALID_ARGUMENT",method="AssignTask"} 3.0',
        'rpc_duration_seconds_count{code="OK",method="WatchTasks"} 1.0',
        'executor_request_duration_seconds_count{executor="local",operation="launch"',
        "journal_commit_seconds_count ",
        f'version="{info.version}"',
    ):
        assert labels in page
    promtool(page)


async def test_whatever_strangers_send_it_goes_on_and_runs_a_task(served: Daemon) -> None:
    """B49; the last is closed after 10 s."""
    large = b"a" * 1_000_000
    sent = {
        "post": request("/metrics", method="POST"),
        "trace": request("/metrics", "Cookie: secret", method="TRACE"),
        "path": request("/../../etc/passwd"),
        "query": b"GET /metrics?" + large + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "header": b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + large + b"\r\n\r\n",
        "slow": b"GET /metrics HTTP/1.1\r\nHost: local",
    }
    asked = (exchange(address(served), each) for each in sent.values())
    said = dict(zip(sent, await asyncio.gather(*asked), strict=True))
    assert [parsed(said[name]).status for name in ("post", "trace", "path")] == [405, 405, 404]
    assert b"secret" not in said["trace"]
    for name in ("query", "header"):  # the answer may be lost where the rest is on its way
        assert not said[name] or parsed(said[name]).status in {400, 414, 431}
    assert said["slow"] == b""
    async with served.client() as runner:
        result = await runner.run(HELLO)
    assert json.loads(result.to_json())["status"] == "completed"
    assert not lines(served, "internal error")


async def test_a_port_that_is_taken_is_75_and_one_line_that_says_what_to_do(
    nothing_is_left: Path,
) -> None:
    root = nothing_is_left / "d"
    root.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        made = Daemon(root, HTTP__LISTEN=f"127.0.0.1:{port}")
        try:
            made.spawn()
            assert await made.died() == 75
            (line,) = lines(made, "cannot serve")
            assert f"127.0.0.1:{port}" in line["problem"]
            assert "http.listen" in line["problem"]
        finally:
            await made.close()


async def test_without_http_nothing_of_it_is_loaded_and_a_result_has_no_link(
    nothing_is_left: Path,
) -> None:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as made, made.client() as runner:
        await runner.assign(HELLO, task_id="t1")
        async for _ in runner.watch(["t1"], until_done=True):
            pass
        assert (await runner.get("t1")).result.logs_url == ""
        assert made.process is not None
        maps = await asyncio.to_thread(Path(f"/proc/{made.process.pid}/maps").read_text)
    assert "aiohttp" not in maps
