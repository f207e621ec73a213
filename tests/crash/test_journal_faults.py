"""A journal whose disk fails or that another process has locked: nothing told is untrue."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from supervisor.client import Supervisor, class_of, encode
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub
from tests.support.daemon import Daemon
from tests.support.programs import Count
from tests.support.verdicts import Collected, went_well
from tests.support.waiting import until

SLOW = Count("slow", 2_000, 4, block=10, pause=0.05)


def request(daemon: Daemon, count: Count) -> v1.AssignTaskRequest:
    return v1.AssignTaskRequest(
        task_id=count.task_id,
        task_class=class_of("cpu_short"),
        payload=encode(count.payload(daemon.markers)),
    )


async def refusal(daemon: Daemon, count: Count) -> grpc.StatusCode:
    """The status of an assignment that is made once, and not again by itself."""
    async with grpc.aio.insecure_channel(daemon.address) as channel:
        try:
            await SupervisorStub(channel).AssignTask(request(daemon, count), timeout=60)
        except grpc.aio.AioRpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def database(daemon: Daemon) -> Path:
    """The journal's file: the one that SQLite takes for its own."""
    files = (p for p in daemon.state.rglob("*") if p.is_file() and "keeper" not in p.parts)
    (found,) = (p for p in files if p.read_bytes()[:15] == b"SQLite format 3")
    return found


def strace(pid: int) -> subprocess.Popen[bytes]:
    """Let every flush to the disk fail from now on."""
    calls = ["-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:error=EIO"]
    return subprocess.Popen(
        ["strace", "-f", "-q", *calls, "-p", str(pid)], stderr=subprocess.DEVNULL
    )


def may_trace() -> bool:
    """Whether this user may attach to a process that is no child of the tracer."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return os.geteuid() == 0 or not scope.exists() or scope.read_text().strip() == "0"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the write lock of a journal, as another process would."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        yield
    finally:
        connection.close()


async def test_a_failing_disk_ends_the_daemon_and_nothing_acknowledged_is_lost(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F12."""
    if shutil.which("strace") is None:
        pytest.skip("needs strace (apt install strace)")
    if not may_trace():
        pytest.skip("cannot here: needs root, or kernel.yama.ptrace_scope = 0")
    await daemon.start()
    await runner.assign(SLOW.payload(daemon.markers), task_id=SLOW.task_id)
    assert daemon.process is not None
    trace = strace(daemon.process.pid)
    try:
        status = Path(f"/proc/{daemon.process.pid}/status")
        await until(lambda: f"TracerPid:\t{trace.pid}\n" in status.read_text(), "strace is there")
        new = Count("new", 10, 0)
        assert await refusal(daemon, new) == grpc.StatusCode.UNAVAILABLE
        assert await daemon.died() > 0
    finally:
        trace.terminate()
        trace.wait()
    await daemon.start()
    SLOW.hurry(daemon.markers)
    await went_well(runner, daemon, SLOW)
    await runner.assign(new.payload(daemon.markers), task_id=new.task_id)
    await went_well(runner, daemon, new)


async def test_a_journal_locked_for_a_moment_only_delays(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F13, the short case."""
    await daemon.start()
    new = Count("new", 10, 0)
    with locked(database(daemon)):
        assigning = asyncio.create_task(refusal(daemon, new))
        done, _ = await asyncio.wait({assigning}, timeout=2)
        assert not done
    assert await assigning == grpc.StatusCode.OK
    await went_well(runner, daemon, new)


async def test_a_journal_locked_for_long_refuses_and_the_daemon_stays_live(
    daemon: Daemon, runner: Supervisor
) -> None:
    """F13, the long case: output streams on, nothing is half done, and it recovers by itself."""
    await daemon.start()
    await runner.assign(SLOW.payload(daemon.markers), task_id=SLOW.task_id)
    output = Collected()
    following = asyncio.create_task(output.all(runner.output(SLOW.task_id)))
    await until(lambda: output.chunks > 1, "output comes")
    new = Count("new", 10, 0)
    with locked(database(daemon)):
        refusing = asyncio.create_task(refusal(daemon, new))
        seen = output.chunks
        await until(lambda: output.chunks > seen + 10, "output goes on")
        assert not refusing.done()
        assert await refusing == grpc.StatusCode.UNAVAILABLE
    await runner.assign(new.payload(daemon.markers), task_id=new.task_id)
    await went_well(runner, daemon, new)
    SLOW.hurry(daemon.markers)
    await went_well(runner, daemon, SLOW)
    await following
