"""Orchestrators in other languages, from the .proto alone: the clients of docs/examples."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.command import finish
from tests.support.daemon import Daemon, daemon

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs/examples"

CLIENTS = {
    "node": ("node", str(EXAMPLES / "node/client.js")),
    "go": (str(ROOT / "build/examples/client-go"),),
}
SCRIPT = "seq 1000; until [ -e {gate} ]; do sleep 0.05; done; seq 1001 2000; echo done >&2"


@pytest.fixture
async def served(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as made:
        yield made


@pytest.fixture(params=CLIENTS)
def language(request: pytest.FixtureRequest) -> str:
    subprocess.run([ROOT / "tools/examples.sh", request.param], check=True)
    return str(request.param)


# Compiling the Go client takes a minute where `make test` has not done so before.
@pytest.mark.timeout(400)
async def test_a_task_is_run_and_followed_through_a_kill_of_the_daemon(
    language: str, served: Daemon
) -> None:
    gate = served.root / "gate"
    payload = served.root / "task.json"
    command = ["sh", "-c", SCRIPT.format(gate=gate)]
    payload.write_text(json.dumps({"execution": {"command": command}}))
    client = await asyncio.create_subprocess_exec(
        *CLIENTS[language],
        served.address,
        "a",
        str(payload),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert client.stdout is not None
    first = b"".join([await client.stdout.readline() for _ in range(1000)])
    served.kill()
    gate.touch()
    await served.start()
    rest = await finish(client)
    assert rest.code == 0, rest.err
    assert first + rest.out == b"".join(b"%d\n" % n for n in range(1, 2001))
    assert rest.lines == [
        "assigned a created=true",
        "done",
        *(f"event {name}" for name in ("accepted", "preparing", "started", "finalizing")),
        "event completed",
        "acknowledged, 0 refused",
    ]
    async with served.client() as runner:
        task = await runner.get("a")
    assert (task.state, task.acknowledged) == (v1.TASK_STATE_COMPLETED, True)
    assert dict(task.labels) == {"client": language}
