"""Outputs that a payload declares without a `uri`, at a real daemon: listed in the result, or told
as what is wrong with them. Rows B12 to B14 of the abuse that is to be refused."""

from __future__ import annotations

from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site


async def _run(client: Supervisor, script: str, *outputs: dict[str, Any], **more: Any) -> v1.Task:
    payload = {
        "execution": {"command": ["/bin/sh", "-c", script], **more},
        "artifacts": {"outputs": list(outputs)},
    }
    return (await client.run(payload)).task


def _listed(task: v1.Task) -> dict[str, tuple[str, int]]:
    return {each.path: (each.type, each.size_bytes) for each in task.result.outputs}


async def test_what_is_declared_is_listed_with_its_size(site: Site) -> None:
    async with site.daemon.client() as client:
        script = "mkdir -p out/deep; printf ab > out/a.txt; printf c > out/deep/c; : > other"
        whole = {"path": "out", "type": "directory"}
        task = await _run(client, script, {"path": "out/*.txt", "type": "text"}, whole)
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
        assert _listed(task) == {"out/a.txt": ("text", 2), "out": ("directory", 0)}


async def test_an_output_is_looked_for_below_the_working_directory(site: Site) -> None:
    async with site.daemon.client() as client:
        task = await _run(client, "echo > x", {"path": "x"}, working_dir="job")
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
        assert list(_listed(task)) == ["job/x"]


async def test_a_missing_output_fails_a_task_that_did_well(site: Site) -> None:
    async with site.daemon.client() as client:
        task = await _run(client, "true", {"path": "out/x"})
        assert task.failure.reason == v1.FAILURE_REASON_OUTPUT
        assert task.failure.fault == v1.FAULT_TASK
        assert not task.failure.retryable
        assert "'out/x'" in task.failure.message
        assert task.attempts[0].exit_code == 0


async def test_an_optional_output_may_be_missing(site: Site) -> None:
    async with site.daemon.client() as client:
        task = await _run(client, "true", {"path": "out/x", "optional": True})
        assert task.state == v1.TASK_STATE_COMPLETED, task.failure
        assert not task.result.outputs


async def test_a_failed_task_keeps_its_own_reason(site: Site) -> None:
    async with site.daemon.client() as client:
        task = await _run(client, "exit 3", {"path": "out/x"})
        assert task.failure.reason == v1.FAILURE_REASON_EXIT_CODE


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("ln -s /etc/shadow x", id="B12-symlink"),
        pytest.param("mkfifo x", id="B13-fifo"),
        pytest.param("ln -s /proc/self/environ x", id="B13-proc-file"),
        pytest.param(
            "/usr/bin/python3 -Ic \"import socket; socket.socket(socket.AF_UNIX).bind('x')\"",
            id="B13-socket",
        ),
        pytest.param("echo > y; ln y x", id="B14-hard-link"),
    ],
)
async def test_what_is_no_file_of_the_tasks_own_is_no_output(site: Site, script: str) -> None:
    async with site.daemon.client() as client:
        task = await _run(client, script, {"path": "x"})
        assert task.failure.reason == v1.FAILURE_REASON_OUTPUT, task
        assert task.failure.fault == v1.FAULT_TASK
        assert not task.result.outputs
        after = await _run(client, "echo > x", {"path": "x"})
        assert after.state == v1.TASK_STATE_COMPLETED
