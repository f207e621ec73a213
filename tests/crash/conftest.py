"""A daemon to be killed, and a client that is patient with it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor import client, patience
from supervisor.client import Supervisor
from tests.support.daemon import Daemon
from tests.support.gpu_daemon import DOUBLE, Host, make
from tests.support.nvml import build


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All below this directory kills something."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("crash")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that come back at once: else most lives of a daemon that is killed again and again
    pass without a call, and each restart costs a test a second."""
    options = {**dict(client._OPTIONS), "grpc.max_reconnect_backoff_ms": 100}
    monkeypatch.setattr(client, "_OPTIONS", tuple(options.items()))
    monkeypatch.setattr(patience, "_LONGEST", 0.1)


@pytest.fixture
async def daemon(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    """Not started yet; whatever it became, it is gone afterwards."""
    root = nothing_is_left / "d"
    root.mkdir()
    made = Daemon(root)
    yield made
    print(made.tail(20_000))  # noqa: T201 - shown where the test failed
    await made.close()


@pytest.fixture
async def runner(daemon: Daemon) -> AsyncIterator[Supervisor]:
    async with daemon.client() as client:
        yield client


@pytest.fixture
async def host(request: pytest.FixtureRequest, nothing_is_left: Path) -> AsyncIterator[Host]:
    """A daemon that was not started yet, and the GPUs of its host: see `gpu_daemon.on`."""
    library = None
    if request.param[0] == DOUBLE:
        library = build(request.getfixturevalue("nvml_library"))
    made = make(nothing_is_left / "h", request.param[1:], library)
    yield made
    print(made.daemon.tail(20_000))  # noqa: T201 - shown where the test failed
    made.gpus.close()  # first: it writes into the directory that goes with the daemon
    await made.daemon.close()
