"""What is told in an attempt's stderr before its start, by executors that can (TellsBefore)."""

from __future__ import annotations

from runner.ports import TellsBefore
from tests.support.rig import Rig
from tests.support.workload import Workload

TEXT = b"building\nready\n"


async def test_a_foreword_stands_before_what_is_written_and_counts(real: Rig) -> None:
    request = real.request(Workload().write(b"err\n", 2))
    assert isinstance(real.executor, TellsBefore)
    await real.executor.foreword(request.name, b"cut off " + TEXT, len(TEXT))
    await real.executor.foreword(request.name, b"another", 100)
    ended = await real.finish(request, await real.executor.launch(request))
    assert ended.output.stderr == TEXT + b"err\n"
    assert ended.exit.usage.stderr_bytes == ended.exit.kept.stderr_bytes == len(TEXT) + 4
    assert ended.exit.stderr_tail == b"err\n"
    await real.executor.foreword(request.name, b"too late", 100)
    assert (await real.output(request.name)).stderr == TEXT + b"err\n"


async def test_a_foreword_stays_where_nothing_is_started(real: Rig) -> None:
    request = real.request(Workload().exit(0))
    assert isinstance(real.executor, TellsBefore)
    await real.executor.foreword(request.name, TEXT, 100)
    assert await real.executor.adopt(request) is None
    assert (await real.output(request.name)).stderr == TEXT
    await real.executor.remove(request.name)
    assert (await real.output(request.name)).stderr == b""
