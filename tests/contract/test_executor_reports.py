"""The executors' contract: what a task reports in its files is read as it is, while it runs and
once it has ended, and only where it is a plain file of the task's own."""

from __future__ import annotations

import asyncio

from runner.domain.reports import PROGRESS_FILE, RESULT_FILE
from runner.ports import Excerpt
from tests.support.rig import Rig
from tests.support.workload import Workload

RESULT = b'{"value": "\xc3\xa9"}'
LINES = b'{"fraction": 0.5}\n{"fraction": 0.75}\n'


async def test_what_it_reports_is_read_while_it_runs_and_after_its_end(rig: Rig) -> None:
    workload = Workload().sleep(0.5).report(PROGRESS_FILE, LINES[:18]).on_term(0)
    workload = workload.report(RESULT_FILE, RESULT).report(PROGRESS_FILE, LINES[18:])
    request = rig.request(workload.write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    name = request.name
    async with asyncio.timeout(60):
        found = await rig.executor.read_report(name, PROGRESS_FILE, 100)
        while found is None or not found.data:
            await rig.executor.progressed(name)  # it is told, whenever there is something new
            found = await rig.executor.read_report(name, PROGRESS_FILE, 100)
    assert found in (Excerpt(LINES[:18], 18), Excerpt(LINES, len(LINES)))
    await rig.says(name, b"ready")
    later = await rig.next_daemon()
    assert await later.adopt(request) is not None
    async with asyncio.timeout(60):
        await later.progressed(name)  # who finds it again is told to look
    assert await later.read_report(name, PROGRESS_FILE, 100) == Excerpt(LINES, len(LINES))
    await later.stop(started.handle, 30)
    assert (await later.wait(started.handle)).code == 0
    assert await later.read_report(name, RESULT_FILE, 100) == Excerpt(RESULT, len(RESULT))
    assert await later.read_report(name, PROGRESS_FILE, 5) == Excerpt(LINES[-5:], len(LINES))
    await later.remove(name)
    assert await later.read_report(name, RESULT_FILE, 100) is None


async def test_where_it_reports_nothing_there_is_nothing(rig: Rig) -> None:
    ended = await rig.run(Workload())
    for file in (RESULT_FILE, PROGRESS_FILE):
        assert await rig.executor.read_report(ended.request.name, file, 100) is None


async def test_what_is_no_plain_file_of_its_own_is_not_read_and_why_is_said(rig: Rig) -> None:
    workload = Workload().plant(RESULT_FILE, "link").plant(PROGRESS_FILE, "fifo")
    request = rig.request(workload.on_term(0).write(b"ready").for_ever())
    started = await rig.executor.launch(request)
    await rig.says(request.name, b"ready")
    for ended in (False, True):
        if ended:
            await rig.executor.stop(started.handle, 30)
            await rig.executor.wait(started.handle)
        link = await rig.executor.read_report(request.name, RESULT_FILE, 100)
        fifo = await rig.executor.read_report(request.name, PROGRESS_FILE, 100)
        assert link is not None
        assert fifo is not None
        assert (link.data, fifo.data) == (b"", b"")
        assert "link" in link.problem
        assert fifo.problem == "it is not a regular file"
