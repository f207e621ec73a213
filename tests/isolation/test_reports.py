"""What a task reports at a real daemon, in each level of isolation: its result and its progress are
told; whatever else it leaves in their place is a warning and does no harm."""

from __future__ import annotations

import json
from typing import Any

import pytest

from supervisor.result import Result
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site

REPORTS = """
import json, os, time
told = open(os.environ["ENV_RUNNER_PROGRESS"], "a")
for n in range(1, 5):
    print(json.dumps({"fraction": n / 4, "step": "embed", "message": f"batch {n} of 4"}),
          file=told, flush=True)
    print("and this is no progress", json.dumps({"fraction": 0.99}), flush=True)
    time.sleep(0.3)
os.makedirs("out")
open("out/a.txt", "w").write("ab")
with open(os.environ["ENV_RUNNER_RESULT"], "w") as file:
    json.dump({"value": {"best": [1, 2.5]}, "metrics": {"tokens": 512},
               "outputs": [{"path": "s3://bucket/b", "type": "parquet"}]}, file)
"""

FLOODS = """
import os
told = open(os.environ["ENV_RUNNER_PROGRESS"], "wb", buffering=0)
for n in range(100_000):
    told.write(b'{"fraction": 0.5, "message": "%d"}\\n' % n)
told.write(b"x" * 500_000 + b'\\n{"fraction": 1')
with open(os.environ["ENV_RUNNER_RESULT"], "wb") as file:
    file.write(b" " * (3 << 20))
"""

HOSTILE = {
    "links": ('os.symlink("/etc/shadow", r); os.symlink("/etc/passwd", p)', "a link is in its way"),
    "fifos": ("os.mkfifo(r); os.mkfifo(p)", "it is not a regular file"),
    "directories": ("os.mkdir(r); os.mkdir(p)", "it is not a regular file"),
    "second names": (
        'open(r + "x", "w").close(); os.link(r + "x", r); os.link(r + "x", p)',
        "it has a second name (hard link)",
    ),
    "deep": (
        'open(r, "w").write("[" * 100000); open(p, "w").write("[" * 3000 + "\\n")',
        "levels",
    ),
    "no text": ('[open(x, "wb").write(b"\\xff\\n") for x in (r, p)]', "is not UTF-8"),
}


async def _run(site: Site, script: str, **more: Any) -> tuple[v1.Task, list[v1.TaskEvent]]:
    async with site.daemon.client() as client:
        payload = {**site.payload(script), **more}
        task = (await client.assign(payload)).task
        events = [event async for event in client.watch([task.task_id], until_done=True)]
        return await client.get(task.task_id), events


async def test_result_and_progress_are_told(site: Site) -> None:
    declared = {"outputs": [{"path": "out/*.txt", "type": "text"}]}
    task, events = await _run(site, REPORTS, artifacts=declared)
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    told = [event.task.progress for event in events if event.type == v1.TASK_EVENT_TYPE_PROGRESS]
    fractions = [each.fraction for each in told]  # where the host is busy, of some the last alone
    assert fractions == sorted({*fractions} & {0.25, 0.5, 0.75, 1.0})
    assert fractions[-1] == 1.0
    assert (told[-1].step, told[-1].message) == ("embed", "batch 4 of 4")
    assert told[-1].HasField("time")
    assert task.progress == told[-1]
    assert json.loads(task.result.value) == {"best": [1, 2.5]}
    form = json.loads(Result(task).to_json())
    assert form["status"] == "completed"
    assert form["result"]["outputs"] == [
        {"path": "out/a.txt", "type": "text"},
        {"path": "s3://bucket/b", "type": "parquet"},
    ]
    assert form["result"]["metrics"] == {"tokens": 512}
    assert not task.warnings


async def test_a_flood_is_no_harm_and_its_end_is_told(site: Site) -> None:
    task, events = await _run(site, FLOODS)
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    told = [event for event in events if event.type == v1.TASK_EVENT_TYPE_PROGRESS]
    lasted = task.end_time.ToNanoseconds() - task.start_time.ToNanoseconds()
    assert len(told) <= 10 * (lasted / 1e9 + 1)
    assert not task.result.value
    result, progress = sorted(task.warnings)
    assert result == (
        "its result was not taken: it is 3145728 bytes long; 256 KiB at most (results.size)"
    )
    assert "longer than 16 KiB" in progress


@pytest.mark.parametrize("kind", HOSTILE)
async def test_whatever_lies_in_their_place_is_a_warning(site: Site, kind: str) -> None:
    does, why = HOSTILE[kind]
    script = (
        'import os; r, p = (os.environ["ENV_RUNNER_" + n] for n in ("RESULT", "PROGRESS"))\n' + does
    )
    task, _ = await _run(site, script)
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    result, progress = sorted(task.warnings)
    assert result.startswith("its result was not taken: ")
    assert progress.startswith("some of its progress was not taken: ")
    assert why in result
    assert why in progress
