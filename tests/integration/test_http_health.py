"""/healthz, /readyz and /metrics, as a probe and as Prometheus ask for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.domain.principal import LOCAL
from runner.edges.http import health
from runner.telemetry.pulse import BLOCKED, INTERVAL
from tests.support.engine import assign, ended
from tests.support.http import Answer
from tests.support.served import Served, served


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        yield made


def failed(answer: Answer) -> list[str]:
    """The checks that failed."""
    checks = answer.json["checks"]
    return [name for name, check in checks.items() if not check["ok"]]


async def test_while_it_starts_it_is_alive_and_not_ready(http: Served) -> None:
    assert (await http.get("/healthz")).status == 200
    starting = await http.get("/readyz")
    assert (starting.status, failed(starting)) == (503, ["started"])
    assert (await http.get("/metrics")).status == 200
    assert (await http.get("/tasks/t1/logs")).status == 503
    http.begin()
    assert (await http.get("/readyz")).json["ok"] is True


async def test_a_draining_runner_is_alive_and_not_ready_and_says_why(http: Served) -> None:
    http.begin()
    await http.engine.set_drain(LOCAL, drain=True, reason="new disk")
    assert (await http.get("/healthz")).status == 200
    answer = await http.get("/readyz")
    assert (answer.status, failed(answer)) == (503, ["taking_tasks"])
    assert "new disk" in answer.text
    assert "env_runner_draining 1.0" in (await http.get("/metrics")).text


async def test_a_full_disk_is_not_ready_and_alive(http: Served) -> None:
    http.begin()
    http.rig.disk = (100, 99, 1)
    assert (await http.get("/healthz")).status == 200
    assert failed(await http.get("/readyz")) == ["disk"]


async def test_a_stopping_daemon_is_not_ready(http: Served) -> None:
    http.begin()
    await http.engine.close()
    assert failed(await http.get("/readyz")) == ["started"]


async def test_a_journal_that_takes_nothing_is_no_health(
    http: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.begin()
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    stuck = asyncio.Event()

    async def put(key: str, value: str) -> None:
        await stuck.wait()

    monkeypatch.setattr(http.rig.journal, "put", put)
    for _ in range(2):
        answer = await http.get("/healthz")
        assert (answer.status, failed(answer)) == (503, ["journal"])
    stuck.set()
    assert (await http.get("/healthz")).status == 200


async def test_a_loop_that_was_blocked_is_no_health(http: Served) -> None:
    http.begin()
    http.now[0] += INTERVAL + BLOCKED
    answer = await http.get("/healthz")
    assert (answer.status, failed(answer)) == (503, ["event_loop"])


async def test_the_page_has_what_was_counted_and_how_things_are(http: Served) -> None:
    http.begin()
    await assign(http.engine, "t1", ["exit", 0])
    await ended(http.engine)
    await http.get("/metrics")
    page = await http.get("/metrics")
    assert page.headers["content-type"].startswith("text/plain; version=")
    assert 'env_runner_tasks_running{task_class="cpu_short"} 0.0' in page.text
    assert 'env_runner_executor_ready{executor="local"} 1.0' in page.text
    assert "_created" not in page.text


async def test_an_accept_header_that_is_none_gets_the_plain_page(http: Served) -> None:
    for accept in ("application/openmetrics-text;version=x.y", ";;,version=", "\xff"):
        page = await http.get("/metrics", f"Accept: {accept}")
        assert page.status == 200, accept
        assert b"env_runner_build_info" in page.body


async def test_openmetrics_is_given_where_it_is_asked_for(http: Served) -> None:
    http.begin()
    page = await http.get("/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert page.headers["content-type"].startswith("application/openmetrics-text")
    assert page.text.endswith("# EOF\n")
