"""Keeps a link to the keeper: connects, says hello, starts a keeper where there is none, and
does so again whenever the link breaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import runner
from runner.executors.local.link import KeeperRefused, Link, LinkBroken, connect
from runner.executors.local.mounts import REMEDY, lacking
from runner.keeper.messages import PROTOCOL, Message

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds between tries to connect
_START_PATIENCE = 30.0  # seconds for a new keeper to listen; it kills what the old one left first
_HELLO_PATIENCE = 10.0
IDLE_EXIT = 60  # seconds without task and daemon until a keeper that was started here leaves


class Unreachable(Exception):
    """There is no keeper for now, and nothing was sent to one; the text says why."""


class Session:
    """The way to the keeper of one root. Requests must be such that they may be repeated."""

    def __init__(
        self,
        root: Path,
        socket: Path,
        greeting: Message,
        *,
        start_keeper: bool,
        keeper_options: Sequence[str],
        on_told: Callable[[Message], None],
        on_connected: Callable[[], None],
        note: Callable[..., None],
    ) -> None:
        self._root = root
        self._socket = socket
        self._greeting = {"type": "hello", "protocol": PROTOCOL, **greeting}
        self._start_keeper = start_keeper
        self._keeper_options = keeper_options
        self._on_told = on_told
        self._on_connected = on_connected
        self._note = note
        self._link: Link | None = None
        self._connecting: asyncio.Task[Link] | None = None
        self._closed = False
        self._replaced = 0  # the pid of the keeper that was ended for what it may not mount
        self.welcome: Message = {}
        self.problem = "the keeper has not been asked yet"  # why there is no link, if there is none

    async def request(
        self, request: Message, files: Sequence[int] = (), *, patience: float | None = None
    ) -> tuple[Message, list[int]]:
        """The keeper's answer, however often the link breaks meanwhile.

        Raises KeeperRefused; Unreachable where nothing was sent within `patience` seconds.
        """
        while True:
            if patience is None:
                link = await self._linked()
            else:
                try:
                    async with asyncio.timeout(patience):
                        link = await self._linked()
                except TimeoutError:
                    raise Unreachable(self.problem) from None
            patience = None
            with contextlib.suppress(LinkBroken):
                return await link.ask(request, files)

    def post(self, request: Message) -> None:
        """Send it where there is a link; else it is not needed."""
        if self._link is not None:
            self._link.post(request)

    @property
    def keeper_pid(self) -> int | None:
        """Who is at the other end of the link; None where there is no link."""
        return None if self._link is None else int(self.welcome["pid"])

    async def close(self) -> None:
        """Hang up and stay away. Requests that wait are cancelled with their callers."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._connecting
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _linked(self) -> Link:
        if self._link is not None:
            return self._link
        if self._closed:
            raise Unreachable("the executor is closed")
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect(), name="keeper-connect")
        # many may wait for it: one that is cancelled must not take it along
        return await asyncio.shield(self._connecting)

    def _broken(self, link: Link) -> None:
        if link is self._link:
            self._link = None
            self.problem = "the keeper has closed the connection"
            if not self._closed and self._connecting is None:
                self._connecting = asyncio.create_task(self._connect(), name="keeper-connect")

    async def _connect(self) -> Link:
        """Try until it works."""
        pause = _FIRST_PAUSE
        try:
            while True:
                try:
                    self._link = await self._try()
                except (OSError, LinkBroken, KeeperRefused, Unreachable, TimeoutError) as error:
                    problem = str(error) or "the keeper does not answer"
                    if problem != self.problem:
                        self._note("keeper unreachable", problem=problem)
                    self.problem = problem
                else:
                    self._note("keeper connected", **self._facts())
                    self.problem = ""
                    self._on_connected()
                    return self._link
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._connecting = None

    async def _try(self) -> Link:
        try:
            link = await connect(self._socket, self._on_told, self._broken)
        except (FileNotFoundError, ConnectionRefusedError):
            if not self._start_keeper:
                raise
            await self._start()
            link = await connect(self._socket, self._on_told, self._broken)
        try:
            async with asyncio.timeout(_HELLO_PATIENCE):
                self.welcome, _ = await link.ask(self._greeting)
            self._check_root()
            self._check_mounts()
        except BaseException:
            link.close()
            raise
        return link

    def _check_root(self) -> None:
        kept = self.welcome["root"]
        if kept != os.path.realpath(self._root):
            raise Unreachable(f"the keeper at {self._socket} keeps {kept}, not {self._root}")

    def _check_mounts(self) -> None:
        """One that an earlier daemon started may know nothing of what is configured by now: it is
        replaced, once, where nothing would be lost by that; else it is told. Raises Unreachable."""
        missing = lacking(self._keeper_options, self.welcome)
        if not missing:
            return
        pid: int = self.welcome["pid"]
        ours = self._start_keeper and self.welcome["uid"] == os.geteuid()
        if ours and self.welcome["idle"] and self._replaced in (0, pid):
            self._replaced = pid
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            raise Unreachable(f"it is being replaced: it may not mount {', '.join(missing)}")
        self._note("keeper may not mount", paths=missing, remedy=REMEDY)

    def _facts(self) -> Message:
        return {key: self.welcome[key] for key in ("pid", "version", "mode", "instance")}

    async def _start(self) -> None:
        """Start a keeper that outlives this process, and wait until it listens."""
        log = self._root / "keeper.log"
        code = await asyncio.to_thread(self._run, log)
        if code != 0:
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            raise Unreachable(lines[-1] if lines else f"the keeper did not start (exit {code})")

    def _run(self, log: Path) -> int:
        self._root.mkdir(mode=0o711, parents=True, exist_ok=True)
        # without site-packages: it needs none, and starts in half the time
        command = [sys.executable, "-S", "-s", "-P", "-m", "runner.keeper", "--detach"]
        command += ["--root", str(self._root), "--socket", str(self._socket)]
        command += ["--idle-exit", str(IDLE_EXIT), *self._keeper_options]
        environment = {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(Path(runner.__file__).parents[1]),
        }
        with log.open("ab") as stream:
            try:
                return subprocess.run(
                    command,
                    cwd="/",
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                    timeout=_START_PATIENCE,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                return -1
