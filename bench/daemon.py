"""A daemon to be measured, with its keeper, in a directory of its own; gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

import grpc

from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorStub

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "HTTP__LISTEN": "",
    "LOGGING__FORMAT": "json",
    "STATE__MIN_FREE": "0B",
    "CLASSES__CPU_SHORT__MAX_RUNNING": "16",
    # A hundred at once fit any host; a program of a millisecond never meets these as limits,
    # since a quota is at least 10 ms of each tenth of a second. Others ask for more.
    "CLASSES__CPU_SHORT__DEFAULTS__CPU": "0.01",
    "CLASSES__CPU_SHORT__DEFAULTS__MEMORY": "16MiB",
    "CLASSES__CPU_SHORT__LIMITS__OUTPUT": "64GiB",
    "CLASSES__CPU_SHORT__LIMITS__TIMEOUT": "1h",
    "EXECUTORS__LOCAL__SANDBOX": "none",
}
ROOM: dict[str, Any] = {"cpu": 1, "memory": "256MiB"}
"""What a program of some size asks for, so that no limit slows it down."""
_numbers = itertools.count(1)
_TICKS = os.sysconf("SC_CLK_TCK")
ENDS = (v1.TASK_EVENT_TYPE_COMPLETED, v1.TASK_EVENT_TYPE_FAILED, v1.TASK_EVENT_TYPE_CANCELLED)


class Daemon:
    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.state = root / "state"
        self.address = f"unix:{root}/s.sock"
        self.process: subprocess.Popen[bytes] | None = None
        own = {"GRPC__LISTEN": json.dumps([self.address]), "STATE__DIRECTORY": str(self.state)}
        every = {**SETTINGS, **own, **settings}
        self._environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            **{f"ENV_RUNNER_{key}": value for key, value in every.items()},
        }

    def start(self) -> float:
        """Start it; returns the seconds until it has said that it is ready."""
        path = self.root / "notify"
        path.unlink(missing_ok=True)
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
            (self.root / "log").open("ab") as log,
        ):
            listener.bind(str(path))
            listener.settimeout(60)
            begun = time.perf_counter()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "runner.cli.main", "serve"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={**self._environment, "NOTIFY_SOCKET": str(path)},
            )
            while b"READY=1" not in listener.recv(4096):
                pass
            return time.perf_counter() - begun

    def start_keeper(self, options: Sequence[str]) -> None:
        """Start its keeper beforehand, with options of its own: the daemon finds it there."""
        root = self.state / "keeper"
        root.mkdir(parents=True, mode=0o711)
        self.state.chmod(0o711)
        command = [sys.executable, "-S", "-s", "-P", "-m", "runner.keeper", "--detach"]
        command += ["--root", str(root), "--socket", str(root / "keeper.sock"), *options]
        with (root / "keeper.log").open("ab") as log:
            environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT)}
            subprocess.run(command, env=environment, cwd="/", stderr=log, check=True)

    @property
    def pid(self) -> int:
        assert self.process is not None  # noqa: S101 - of one that was started
        return self.process.pid

    def keeper(self) -> int:
        """The pid of its keeper: the one whose command names this state directory."""
        root = str(self.state / "keeper").encode()
        found: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"runner.keeper" in words and root in words:
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    found[int(entry.name)] = int(fields[1])
        for pid, parent in found.items():
            if parent not in found:  # a child of it waits for its program
                return pid
        raise LookupError("no keeper runs")

    def kill(self) -> None:
        """kill -9 of the daemon alone: tasks and keeper go on."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.kill()
        with contextlib.suppress(LookupError):
            pid = self.keeper()
            os.kill(pid, signal.SIGTERM)
            while Path(f"/proc/{pid}").exists():
                time.sleep(0.01)
        shutil.rmtree(self.root, ignore_errors=True)


@contextlib.asynccontextmanager
async def started(directory: Path, **settings: str) -> AsyncIterator[tuple[Daemon, Client]]:
    """A daemon that serves, and a client of it."""
    root = directory / f"daemon-{time.time_ns():x}"
    root.mkdir()
    root.chmod(0o711)
    daemon = Daemon(root, **settings)
    try:
        daemon.start()
        async with Client(daemon.address) as client:
            yield daemon, client
    finally:
        daemon.close()


class Client:
    """An orchestrator: one stream of events, however many tasks."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.aio.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self.stub: Any = SupervisorStub(self.channel)
        self._ends: dict[str, asyncio.Future[v1.Task]] = {}
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        events = self.stub.WatchTasks(v1.WatchTasksRequest(now=True))
        await events.initial_metadata()
        self._watching = asyncio.create_task(self._watch(events))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching is not None:
            self._watching.cancel()
        await self.channel.close()

    async def _watch(self, events: Any) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError):  # the daemon was killed
            async for event in events:
                if event.type in ENDS and event.task.task_id in self._ends:
                    self._ends[event.task.task_id].set_result(event.task)

    async def assign(self, command: Sequence[str], **execution: Any) -> str:
        """Hand a task over; returns its id. `execution` has more of that part of its payload."""
        task_id = f"bench-{os.getpid()}-{next(_numbers)}"
        body = {"execution": {"command": list(command), **execution}}
        self._ends[task_id] = asyncio.get_running_loop().create_future()
        request = v1.AssignTaskRequest(
            task_id=task_id, task_class=v1.TASK_CLASS_CPU_SHORT, payload=json.dumps(body).encode()
        )
        await self.stub.AssignTask(request)
        return task_id

    async def ended(self, task_id: str) -> v1.Task:
        """The task, once the stream of events has told its end; which has to be a good one."""
        task = await self._ends[task_id]
        del self._ends[task_id]
        if task.state != v1.TASK_STATE_COMPLETED:
            raise RuntimeError(f"{task_id} did not end well: {task.failure}")
        return task

    async def run(self, command: Sequence[str], **execution: Any) -> v1.Task:
        return await self.ended(await self.assign(command, **execution))


def resident(pid: int) -> float:
    """MiB of memory that a process has now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError(f"process {pid} is gone")


def cpu_seconds(pid: int) -> float:
    """What a process has used, with all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
