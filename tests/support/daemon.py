"""A real daemon in a state directory of its own, to be started, killed and started again.

It listens on a unix socket below `root` and starts its own keeper. `close` ends all of it:
daemon, keeper, tasks and what they left. Not here: what tasks are given (`programs.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import psutil

from supervisor.client import Supervisor
from tests.support import keepers
from tests.support.waiting import until

SERVE = (sys.executable, "-m", "runner.cli.main", "serve")

OWN = ("runner.keeper", "runner.telemetry.gpu_child")
"""What a process of the runner's own has in its command line."""

SETTINGS = {
    "HTTP__LISTEN": "",
    "LOGGING__FORMAT": "json",
    "TESTING__FAILPOINTS": "true",
    "CLASSES__CPU_SHORT__MAX_RUNNING": "16",
    "CLASSES__CPU_LONG__MAX_RUNNING": "16",
    "STATE__MIN_FREE": "0B",
    "EXECUTORS__LOCAL__SANDBOX": "none",  # tasks leave marks outside their workspaces
    "POLICY__LIMITS_NOT_HELD": "allow",  # whoever runs the tests, and wherever
}


class Daemon:
    """`settings` are configuration keys as in the environment, without `ENV_RUNNER_`."""

    def __init__(self, root: Path, **settings: str) -> None:
        self.root = root
        self.state = root / "state"
        self.socket = root / "s.sock"
        self.log = root / "daemon.log"
        self.markers = root / "markers"
        self.settings = {
            **SETTINGS,
            "GRPC__LISTEN": json.dumps([f"unix:{self.socket}"]),
            "STATE__DIRECTORY": str(self.state),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.prefix: tuple[str, ...] = ()  # such as strace and its words
        self.command: tuple[str, ...] = SERVE
        self.markers.mkdir()
        self.markers.chmod(0o1777)

    @property
    def address(self) -> str:
        return f"unix:{self.socket}"

    def client(self) -> Supervisor:
        """A client that is patient with a daemon that is being started again."""
        return Supervisor(self.address, connect_timeout=60.0)

    def environment(self, failpoint: str = "") -> dict[str, str]:
        settings = {f"ENV_RUNNER_{key}": value for key, value in self.settings.items()}
        names = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
        inherited = {name: os.environ[name] for name in names if name in os.environ}
        return {**inherited, **settings, "ENV_RUNNER_FAILPOINT": failpoint}

    def spawn(self, failpoint: str = "") -> None:
        """Start it, and do not wait until it serves."""
        assert self.process is None, "one at a time"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(failpoint),
                cwd=Path(__file__).parents[2],
            )

    async def start(self, failpoint: str = "") -> None:
        """Start it, and return once it answers."""
        self.spawn(failpoint)
        await self.ready()

    async def ready(self) -> None:
        """Return once it answers; AssertionError with its log where it never does."""
        process = self.process
        assert process is not None
        async with grpc.aio.insecure_channel(
            self.address, options=[("grpc.max_reconnect_backoff_ms", 100)]
        ) as channel:
            connected = asyncio.create_task(channel.channel_ready())
            try:
                await until(
                    lambda: connected.done() or process.poll() is not None, "the daemon serves"
                )
            finally:
                connected.cancel()
        if process.poll() is not None:
            raise AssertionError(f"the daemon ended with {process.returncode}:\n{self.tail()}")

    def tail(self, most: int = 4000) -> str:
        """The end of its log, so many characters at most."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9, and reap it."""
        process = self._taken()
        process.kill()
        process.wait()

    async def stop(self, seconds: float = 30) -> int:
        """SIGTERM; returns its exit status."""
        process = self._taken()
        process.terminate()
        await until(lambda: process.poll() is not None, "the daemon ends when asked", seconds)
        return process.returncode

    async def died(self, seconds: float = 60) -> int:
        """Return its exit status once it has ended by itself (negative: by that signal)."""
        process = self.process
        assert process is not None
        await until(lambda: process.poll() is not None, "the daemon dies", seconds)
        self.process = None
        return process.returncode

    def is_dead(self) -> bool:
        """Whether it has ended, by itself or not."""
        return self.process is None or self.process.poll() is not None

    def _taken(self) -> subprocess.Popen[bytes]:
        process, self.process = self.process, None
        assert process is not None
        return process

    # --- what belongs to it

    def keepers(self) -> list[psutil.Process]:
        """Its keepers that are alive: one, unless it was just killed."""
        return keepers.find(self.state / "keeper")

    async def kill_keeper(self) -> None:
        """kill -9 of the keeper alone, gone when this returns."""
        await keepers.kill(self.state / "keeper")

    def processes(self) -> list[psutil.Process]:
        """All that belongs to it but the daemon itself: keepers, tasks, what tasks left."""
        daemon = self.process.pid if self.process else 0
        return [p for p in psutil.process_iter() if p.pid != daemon and self._owns(p)]

    def tasks(self) -> list[psutil.Process]:
        """The processes of tasks."""
        return [p for p in self.processes() if not any(own in _command(p) for own in OWN)]

    def _owns(self, process: psutil.Process) -> bool:
        mark = str(self.root)
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            about = [process.cwd(), *process.cmdline()]
            about += [f"{k}={v}" for k, v in process.environ().items()]
        except (psutil.Error, OSError):  # gone, or a stranger's with a path beyond all bounds
            return False
        return any(mark in text for text in about)

    def starts(self, task_id: str) -> int:
        """How often a program that marks its start was started."""
        marker = self.markers / task_id
        return len(marker.read_text().splitlines()) if marker.exists() else 0

    async def close(self) -> None:
        """End whatever there is, at once, and remove the cgroups."""
        if self.process is not None:
            self.kill()
        while found := self.processes():
            for process in found:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            await asyncio.sleep(0)
        await keepers.end(self.state / "keeper")
        shutil.rmtree(self.root, ignore_errors=True)


@contextlib.asynccontextmanager
async def daemon(root: Path, **settings: str) -> AsyncIterator[Daemon]:
    """A daemon that is there already and that is gone afterwards."""
    made = Daemon(root, **settings)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
