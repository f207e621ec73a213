"""The daemon's process: how it starts, what it refuses to start on, reloads and stops."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.errors import InvalidArgument, ResourceExhausted, Unavailable
from supervisor.v1 import supervisor_pb2 as v1
from tests.support import keepers
from tests.support.waiting import until

SLEEP = {"execution": {"command": ["sleep", "600"]}}


class Daemon:
    """One daemon with a configuration file that a test may change."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / "config.toml"
        self.socket = root / "s.sock"
        self.log = root / "log"
        self.write("")

    def write(self, more: str) -> None:
        self.config.write_text(
            f'[grpc]\nlisten = ["unix:{self.socket}"]\n[http]\nlisten = ""\n'
            f'[state]\ndirectory = "{self.root}/state"\nmin_free = 0\n'
            f'[logging]\nformat = "json"\n{more}'
        )

    async def spawn(self, **environ: str) -> asyncio.subprocess.Process:
        keep = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "runner", "serve", "--config", str(self.config),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                env={**keep, "HOME": str(self.root), **environ},
            )  # fmt: skip

    @contextlib.asynccontextmanager
    async def running(self, **environ: str) -> AsyncIterator[asyncio.subprocess.Process]:
        process = await self.spawn(**environ)
        try:
            await until(lambda: self.said("serving") or process.returncode is not None, "it serves")
            assert process.returncode is None, self.log.read_text()
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    def lines(self, event: str = "") -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in found if event in ("", line["event"])]

    def said(self, event: str) -> bool:
        return bool(self.lines(event))

    def client(self) -> Supervisor:
        return Supervisor(f"unix:{self.socket}", patience=5)


@pytest.fixture
async def daemon(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    """Not started yet. Its keeper goes with the test."""
    root = nothing_is_left / "d"
    root.mkdir()
    made = Daemon(root)
    yield made
    await keepers.end(root / "state" / "keeper")
    for path in sorted(root.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    root.rmdir()


async def test_asked_to_stop_it_says_so_and_leaves_with_0_while_its_task_runs_on(
    daemon: Daemon,
) -> None:
    path = daemon.root / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(30)
        async with daemon.running(NOTIFY_SOCKET=str(path)) as process, daemon.client() as runner:
            assert systemd.recv(100) == b"READY=1"
            task = (await runner.assign(SLEEP, task_id="t1")).task
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(5):
                assert await process.wait() == 0
        assert systemd.recv(100) == b"STOPPING=1"
    assert daemon.said("stopped")
    assert not daemon.socket.exists()
    async with daemon.running(), daemon.client() as runner:
        found = await runner.get(task.task_id)
        assert found.state in {v1.TASK_STATE_PREPARING, v1.TASK_STATE_RUNNING}
        await runner.cancel("t1", grace=0)
        events = [event async for event in runner.watch(["t1"], until_done=True)]
    assert events[-1].type == v1.TASK_EVENT_TYPE_CANCELLED
    assert len(events[-1].task.attempts) == 1


async def test_a_stream_ends_as_unavailable_when_the_daemon_stops(daemon: Daemon) -> None:
    async with (
        daemon.running() as process,
        Supervisor(f"unix:{daemon.socket}", patience=0) as runner,
    ):
        await runner.assign(SLEEP, task_id="t1")
        output = asyncio.ensure_future(_read(runner))
        await until(lambda: daemon.said("task started"), "the task runs")
        process.send_signal(signal.SIGINT)
        with pytest.raises(Unavailable):
            await output
        assert await process.wait() == 0


async def _read(runner: Supervisor) -> None:
    async for _ in runner.output("t1"):
        pass


async def test_a_bad_file_changes_nothing_and_a_good_one_holds_for_what_comes_next(
    daemon: Daemon,
) -> None:
    async with daemon.running() as process, daemon.client() as runner:
        held = (await runner.assign(SLEEP, task_id="t1")).task
        daemon.write("[classes.cpu_short]\nmax_runing = 3\n")
        process.send_signal(signal.SIGHUP)
        await until(lambda: daemon.said("configuration not reloaded"), "it says so")
        (line,) = daemon.lines("configuration not reloaded")
        assert f"{daemon.config}:11: classes.cpu_short.max_runing" in line["problem"]
        assert line["level"] == "error"
        await runner.plan(SLEEP)
        daemon.write(
            "[classes.cpu_short]\nlimits = {timeout = '7s'}\ndefaults = {timeout = '7s'}\n"
        )
        process.send_signal(signal.SIGHUP)
        await until(lambda: daemon.said("configuration reloaded"), "it says so")
        planned = await runner.plan(SLEEP)
        assert planned.plan.limits.wall_time.seconds == 7
        with pytest.raises(InvalidArgument):
            await runner.plan({"execution": {"command": ["x"], "resources": {"timeout": "8s"}}})
        running = await runner.get("t1")
        assert running.plan == held.plan
        await runner.cancel("t1", grace=0)
        assert [event async for event in runner.watch(["t1"], until_done=True)]


async def test_a_reload_changes_slots_and_quotas_at_once_and_ends_nothing(daemon: Daemon) -> None:
    daemon.write("[classes.cpu_short]\nmax_running = 1\n")
    async with (
        daemon.running() as process,
        daemon.client() as runner,
        Supervisor(f"unix:{daemon.socket}", patience=0) as asked_once,
    ):
        await runner.assign(SLEEP, task_id="t1")
        await runner.assign(SLEEP, task_id="t2")
        daemon.write(
            "[classes.cpu_short]\nmax_running = 2\n"
            "[tenants.acme]\nmax_queued = 0\n[tenants.bolt]\nmax_running = 0\n"
        )
        process.send_signal(signal.SIGHUP)
        await until(lambda: daemon.said("configuration reloaded"), "it says so")
        started = set()
        async for event in runner.watch(["t1", "t2"]):
            if event.type == v1.TASK_EVENT_TYPE_STARTED:
                started.add(event.task.task_id)
            if started == {"t1", "t2"}:
                break
        assert (await runner.get("t1")).state == v1.TASK_STATE_RUNNING
        with pytest.raises(ResourceExhausted, match="tenant 'acme'") as refused:
            await asked_once.assign({**SLEEP, "tenant": "acme"}, task_id="t3")
        assert refused.value.reason == "TENANT_QUOTA"
        planned = await runner.plan({**SLEEP, "tenant": "bolt"})
        assert planned.blocked_by.startswith("class_busy: ")
        await runner.cancel("t1", grace=0)
        assert [event async for event in runner.watch(["t1"], until_done=True)]
        planned = await runner.plan({**SLEEP, "tenant": "bolt"})
        assert planned.blocked_by.startswith("tenant_quota: ")
        await runner.cancel("t2", grace=0)
        assert [event async for event in runner.watch(["t2"], until_done=True)]


async def test_what_a_reload_says_to_need_a_restart_is_as_before_until_then(daemon: Daemon) -> None:
    contained = {"execution": {"image": "r.example/a:1", "command": ["x"]}}
    granted = "[policy]\nimages = ['r.example/*']\n"
    docker = "[executors.docker]\nurl = 'unix:///no/such.sock'\n"
    daemon.write(f"{granted}{docker}user = '7:7'\n")
    async with daemon.running() as process, daemon.client() as runner:
        assert (await runner.plan(contained)).plan.user == "7:7"
        said = partial(daemon.lines, "configuration reloaded")
        for n, change in enumerate(("user = '8:8'\n", "enabled = false\n"), 1):
            daemon.write(f"{granted}{docker}{change}")
            process.send_signal(signal.SIGHUP)
            await until(lambda n=n: len(said()) == n, "it says so")
            assert said()[-1]["needs_restart"] == ["docker"]
            assert (await runner.plan(contained)).plan.user == "7:7"


async def test_a_second_daemon_on_the_same_socket_or_state_leaves_with_75(
    daemon: Daemon, nothing_is_left: Path
) -> None:
    async with daemon.running(), daemon.client() as runner:
        same = await daemon.spawn()
        assert await same.wait() == 75
        other = await daemon.spawn(
            ENV_RUNNER_GRPC__LISTEN=json.dumps([f"unix:{daemon.root}/other.sock"])
        )
        assert await other.wait() == 75
        first, second = daemon.lines("cannot serve")
        assert str(daemon.socket) in first["problem"]
        assert f"{daemon.root}/state" in second["problem"]
        await runner.info()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"ENV_RUNNER_EXECUTORS__LOCAL__USER": "no-such-user"}, "no-such-user"),
        (
            {"ENV_RUNNER_TESTING__FAILPOINTS": "true", "ENV_RUNNER_FAILPOINT": "nowhere:kill"},
            "nowhere",
        ),
        ({"ENV_RUNNER_LOGGING__DIRECTORY": "/proc/nowhere"}, "/proc/nowhere"),
        ({"ENV_RUNNER_STATE__DIRECTORY": "relative"}, "state.directory"),
    ],
)
async def test_a_configuration_that_this_host_cannot_have_is_78_and_one_line(
    environ: dict[str, str], words: str, daemon: Daemon
) -> None:
    process = await daemon.spawn(**environ)
    assert await process.wait() == 78
    (line,) = daemon.log.read_text().splitlines()
    assert words in line


async def test_a_damaged_journal_is_78_is_left_as_it_is_and_the_line_says_what_to_do(
    daemon: Daemon,
) -> None:
    state = daemon.root / "state"
    state.mkdir()
    (state / "journal.db").write_bytes(b"not a database" * 1000)
    process = await daemon.spawn()
    assert await process.wait() == 78
    (line,) = daemon.lines()
    assert "damaged" in line["problem"]
    assert "backup" in line["problem"]
    assert (state / "journal.db").read_bytes() == b"not a database" * 1000


async def test_a_newer_journal_is_78_and_is_left_as_it_is(daemon: Daemon) -> None:
    async with daemon.running() as process:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    journal = daemon.root / "state" / "journal.db"
    with contextlib.closing(sqlite3.connect(journal)) as database:
        database.execute("PRAGMA user_version = 999")
    process = await daemon.spawn()
    assert await process.wait() == 78
    assert "newer" in daemon.lines("cannot serve")[-1]["problem"]


async def test_asked_to_stop_while_it_starts_it_stops(daemon: Daemon) -> None:
    state = daemon.root / "state"
    async with daemon.running() as process:
        process.send_signal(signal.SIGTERM)
        await process.wait()
    with contextlib.closing(sqlite3.connect(state / "journal.db")) as database:
        database.execute("BEGIN EXCLUSIVE")  # the start waits for it
        process = await daemon.spawn()
        await until(lambda: _catches(process.pid, signal.SIGTERM), "signals are handled")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    assert daemon.lines("serving")[1:] == []


def _catches(pid: int, number: int) -> bool:
    """Whether the process has a handler for that signal."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False
