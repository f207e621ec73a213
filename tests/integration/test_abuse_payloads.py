"""Bad payloads at a running daemon: each row is refused as the table says, told and counted,
nothing comes of it, and a normal task runs right after."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from runner.keeper.ahead import PREFIX as AHEAD
from supervisor.client import Supervisor
from supervisor.errors import PermissionDenied
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.abuse import DENIED, FORM, NO_SUCH_KEYS, mounts, told_of
from tests.support.daemon import Daemon
from tests.support.http import get
from tests.support.leaks import Place
from tests.support.payloads import as_bytes, running
from tests.support.rpc import details, stub_at

IA, PD = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
ROWS = [
    *((row, payload, IA, field, reason) for row, payload, field, reason in FORM),
    *(
        ("B21", running(**{key: True}), IA, f"/execution/{key}", "UNKNOWN_FIELD")
        for key in NO_SUCH_KEYS
    ),
    *((row, payload, PD, field, reason) for row, payload, field, reason in DENIED),
]
BAD_IDS = ["../../x", "a/b", ".", "..", "", "a" * 300, "a\n", "a b", "é"]


@pytest.fixture(scope="module")
def served(place: Place) -> Iterator[Daemon]:
    """One daemon for all rows: none of them may harm what comes after it."""
    root = place.directory / "abuse"
    root.mkdir()
    granted = json.dumps([{"path": "/"}])
    made = Daemon(root, HTTP__LISTEN="127.0.0.1:0", POLICY__HOST_PATHS=granted)
    try:
        asyncio.run(made.start())
        yield made
    finally:
        asyncio.run(made.close())


def said(served: Daemon, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in served.log.read_text().splitlines()]
    return [line for line in found if line["event"] == event]


async def refusals(served: Daemon, code: grpc.StatusCode) -> float:
    """How many assignments were refused with this code."""
    page = (await get(said(served, "answering HTTP")[-1]["address"], "/metrics")).text
    pattern = rf'^env_runner_tasks_refused_total{{code="{code.name}",.*}} (\S+)$'
    return sum(map(float, re.findall(pattern, page, re.MULTILINE)))


def held(served: Daemon) -> set[str]:
    """What the keeper has of tasks, on disk."""
    root = served.state / "keeper"
    found = {path.name for path in root.iterdir() if path.is_dir()} if root.exists() else set()
    return {name for name in found if not name.startswith(AHEAD)}


async def refused(served: Daemon, request: v1.AssignTaskRequest) -> grpc.aio.AioRpcError:
    """How it is refused; that it was told, was counted and came to nothing is seen to."""
    async with stub_at(served.address) as stub:
        before, told = held(served), len(said(served, "task refused"))
        counted = {code: await refusals(served, code) for code in (IA, PD)}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.AssignTask(request)
    code = caught.value.code()
    assert await refusals(served, code) == counted[code] + 1
    assert held(served) == before
    (line,) = said(served, "task refused")[told:]
    info = details(caught.value)["ErrorInfo"]
    assert isinstance(info, error_details_pb2.ErrorInfo)
    assert (line["reason"], line.get("rule", "")) == (info.reason, info.metadata["rule"])
    assert len(caught.value.details() or "") < 700
    async with served.client() as runner:
        assert (await runner.run(running())).completed
    return caught.value


def first_fault(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    request = details(error)["BadRequest"]
    assert isinstance(request, error_details_pb2.BadRequest)
    return request.field_violations[0].field, request.field_violations[0].reason


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[4]}")
async def test_a_row_of_payloads_is_refused(
    served: Daemon, row: tuple[str, Any, grpc.StatusCode, str, str]
) -> None:
    name, payload, code, field, reason = row
    request = v1.AssignTaskRequest(
        task_id="t",
        task_class=v1.TASK_CLASS_CPU_SHORT,
        payload=as_bytes(told_of(served.state, payload)),
    )
    error = await refused(served, request)
    assert (error.code(), *first_fault(error)) == (code, field, reason), name


@pytest.mark.parametrize(
    "name", ["", "state", "state/keeper", "state/keeper/x", "state/journal.db", "s.sock", "beside"]
)
async def test_b22_what_is_the_runners_own_lies_below_it_or_above_is_never_mounted(
    served: Daemon, name: str
) -> None:
    payload = as_bytes(mounts(str(served.root / name)))
    request = v1.AssignTaskRequest(task_id="t", task_class=v1.TASK_CLASS_CPU_SHORT, payload=payload)
    error = await refused(served, request)
    denied = (PD, "/execution/mounts/0/source", "MOUNT_DENIED")
    assert (error.code(), *first_fault(error)) == denied
    assert "the runner's own" in (error.details() or "")


async def test_b23_a_granted_path_with_a_link_on_the_way_is_denied_at_once(
    served: Daemon, tmp_path: Path
) -> None:
    granted = tmp_path / "granted"
    (granted / "plain").mkdir(parents=True)
    (granted / "rootlink").symlink_to("/")
    for source in ("rootlink", "rootlink/etc", "rootlink/srv/none"):
        request = v1.AssignTaskRequest(
            task_id="t",
            task_class=v1.TASK_CLASS_CPU_SHORT,
            payload=as_bytes(mounts(str(granted / source))),
        )
        error = await refused(served, request)
        denied = (PD, "/execution/mounts/0/source", "MOUNT_DENIED")
        assert (error.code(), *first_fault(error)) == denied
        with pytest.raises(PermissionDenied, match="symbolic link"):
            async with served.client() as runner:
                await runner.plan(mounts(str(granted / source)))


@pytest.mark.parametrize("task_id", BAD_IDS)
async def test_b10_what_is_no_id_is_refused(served: Daemon, task_id: str) -> None:
    request = v1.AssignTaskRequest(
        task_id=task_id, task_class=v1.TASK_CLASS_CPU_SHORT, payload=as_bytes(running())
    )
    error = await refused(served, request)
    assert (error.code(), *first_fault(error)) == (IA, "task_id", "BAD_ID")


async def test_b10_odd_ids_are_kept_apart_from_each_other_and_from_the_hosts_files(
    served: Daemon,
) -> None:
    async with served.client() as runner:
        for task_id in ("A", "a", "cgroup.procs"):
            result = await runner.run(running(command=["echo", task_id]), task_id=task_id)
            assert result.completed
        for task_id in ("A", "a", "cgroup.procs"):
            assert await printed(runner, task_id) == f"{task_id}\n".encode()


@pytest.mark.parametrize("number", [0, 99])
async def test_b43_what_is_no_class_is_refused(served: Daemon, number: int) -> None:
    request = v1.AssignTaskRequest(task_id="t", payload=as_bytes(running()))
    request.task_class = number  # type: ignore[assignment] # proto3 lets any number through
    error = await refused(served, request)
    assert first_fault(error)[0] == "task_class"
    assert error.code() is IA


async def test_b8_an_absent_timeout_is_the_default_of_the_class(served: Daemon) -> None:
    async with served.client() as runner:
        assert (await runner.plan(running())).plan.limits.wall_time.seconds == 60


@pytest.mark.parametrize(
    "value", ['" A', "\\\\", "a\n--privileged", "$(id)", "é\x01\x7f", "x" * 100_000, ""]
)
async def test_b20_any_value_of_a_variable_arrives_byte_for_byte(
    served: Daemon, value: str
) -> None:
    program = running(command=["sh", "-c", 'printf %s "$VALUE"'], env={"VALUE": value})
    async with served.client() as runner:
        result = await runner.run(program)
        assert result.completed
        assert await printed(runner, result.task_id) == value.encode()


async def printed(runner: Supervisor, task_id: str) -> bytes:
    return b"".join([chunk.data async for chunk in runner.output(task_id)])


def test_nothing_was_written_beside_the_state(served: Daemon) -> None:
    expected = {"state", "markers", "daemon.log", "s.sock", "s.sock.lock"}
    assert {path.name for path in served.root.iterdir()} == expected
    assert not list(served.markers.iterdir())
    assert not Path("/etc/cron.d/x").exists()
