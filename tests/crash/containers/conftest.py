"""A daemon to be killed whose tasks are containers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.engines.engine import Engine
from tests.support.containers import daemon_on
from tests.support.daemon import Daemon


@pytest.fixture
async def daemon(engine: Engine, nothing_is_left: Path) -> AsyncIterator[Daemon]:
    """On each engine in turn, which many tests share. Not started yet."""
    made = daemon_on(engine, nothing_is_left / "d")
    yield made
    print(made.tail(20_000))  # noqa: T201 - shown where the test failed
    await made.close()
    for name in engine.talk.containers():
        engine.talk.remove(name)
