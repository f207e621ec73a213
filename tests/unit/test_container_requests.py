"""Requests to an engine: each is observed, and an answer that is none is the engine's failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from runner.doctor.engines import examine
from runner.doctor.finding import Verdict
from runner.executors.container import readiness
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Absent, Engine, Failed
from tests.support.payloads import default_config

VERSION = {"ApiVersion": "1.41", "Components": []}
SWITCHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


def answer(value: object, status: str = "200 OK") -> bytes:
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@contextlib.asynccontextmanager
async def answering(socket: Path, **answers: bytes) -> AsyncIterator[str]:
    """An engine that answers a request by a word in its path."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        writer.write(next((a for word, a in answers.items() if word in request), answer({})))
        writer.close()

    server = await asyncio.start_unix_server(serve, socket)
    try:
        yield str(socket)
    finally:
        server.close()
        await asyncio.to_thread(socket.unlink)


async def test_connections_of_their_own_are_observed_too(nothing_is_left: Path) -> None:
    """A hang there would show nowhere else."""
    told: list[tuple[str, str]] = []
    answers = {"version": answer(VERSION), "good": SWITCHED, "gone": answer({}, "404 Not Found")}
    async with answering(nothing_is_left / "s", **answers) as socket:
        engine = Engine(
            "docker", socket, lambda _, operation, how, __: told.append((operation, how))
        )
        containers = Containers(engine)
        try:
            (await containers.attach("good", ("stdout",))).close()
            with pytest.raises(Absent):
                await containers.attach("gone", ("stdout",))
            await containers.knock()
        finally:
            await engine.close()
    assert told == [("attach", "ok"), ("attach", "refused"), ("knock", "ok")]


@pytest.mark.parametrize(
    ("version", "info"),
    [
        ({**VERSION, "Components": [1]}, {}),
        ([1, 2], {}),
        (None, {}),
        (VERSION, {"SecurityOptions": 5}),
        ({**VERSION, "Components": [{"Name": "Podman Engine", "Version": "4.3"}]}, {"host": "x"}),
    ],
)
async def test_what_is_no_engines_answer_is_a_failure_and_no_defect_of_ours(
    nothing_is_left: Path, version: Any, info: Any
) -> None:
    answers = {"version": answer(version), "info": answer(info)}
    async with answering(nothing_is_left / "s", **answers) as socket:
        engine = Engine("docker", socket)
        try:
            with pytest.raises(Failed, match="what the protocol does not have"):
                await readiness.ask(engine)
        finally:
            await engine.close()


@pytest.mark.root
async def test_doctor_tells_what_is_closed_to_a_rootless_engine(nothing_is_left: Path) -> None:
    """Its user is whom its socket belongs to."""
    version = {**VERSION, "Components": [{"Name": "Podman Engine", "Version": "4.3"}]}
    security = {"rootless": True, "seccompEnabled": True}
    info = {"host": {"security": security, "cgroupVersion": "v2", "cgroupControllers": []}}
    answers = {"version": answer(version), "info": answer(info)}
    state = nothing_is_left / "state"
    state.mkdir(mode=0o700)
    async with answering(nothing_is_left / "s", **answers) as socket:
        await asyncio.to_thread(os.chown, socket, 4_000_001, 4_000_001)
        config = default_config(
            ENV_RUNNER_EXECUTORS__PODMAN__ENABLED="true",
            ENV_RUNNER_EXECUTORS__PODMAN__URL=f"unix://{socket}",
            ENV_RUNNER_STATE__DIRECTORY=str(state),
        )
        *_, found = await examine(config)
    state.rmdir()
    assert (found.id, found.verdict) == ("podman", Verdict.FAIL)
    assert f"4000001, cannot get to tasks' files: {state} is closed to it" in found.found
