"""A keeper as a test has it alone: started, spoken to over its socket, ended. No executor."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from runner.keeper.messages import LIMITS, PROTOCOL, Frames, encode
from tests.support.users import python_for_others

PROJECT = Path(__file__).parents[2]
PATIENCE = 30.0  # seconds


NO_LIMITS = dict.fromkeys(LIMITS)
LAUNCH: dict[str, Any] = {
    "type": "launch",
    "id": 5,
    "name": "a",
    "task_id": "t",
    "argv": ["true"],
    "env": {},
    "cwd": "",
    "user": None,
    "wall": 1,
    "idle": None,
    "grace": 1,
    "output": 1,
    "stdin": False,
    "context": False,
    "level": "none",
    "limits": NO_LIMITS,
    "rlimits": NO_LIMITS,
    "network": "host",
    "mounts": [],
    "keep": [],
    "keep_always": [],
}
"""A launch that is right in every field."""


class Refusal(Exception):
    """An answer of type error."""

    def __init__(self, reply: dict[str, Any]) -> None:
        super().__init__(f"{reply['code']}: {reply['message']}")
        self.code: str = reply["code"]


class Hung(Exception):
    """The keeper has closed the connection."""


def eventually(condition: Callable[[], object], what: str) -> None:
    """Return once `condition` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.005)


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies left out."""
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def sealed(data: bytes) -> int:
    """A memfd as the daemon sends it."""
    file = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(file, data)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
    return file


class Client:
    """What a daemon says to a keeper, one request after the other."""

    def __init__(
        self, root: Path, epoch: int = 1, journal: str = "j", *, hello: bool = True
    ) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(root / "keeper.sock"))
        self.socket.settimeout(PATIENCE)
        self.files: list[int] = []
        self.ended: dict[str, dict[str, Any]] = {}
        self.progressed: list[str] = []  # the names, each time that one was told
        self.welcome: dict[str, Any] = {}
        self._frames = Frames()
        self._waiting: list[bytes] = []
        self._last = 0
        if hello:
            try:
                self.welcome = self.ask("hello", protocol=PROTOCOL, epoch=epoch, journal=journal)
            except BaseException:
                self.socket.close()
                raise

    def close(self) -> None:
        self.socket.close()
        for file in self.files:
            os.close(file)

    def raw(self, body: bytes) -> None:
        """A frame with whatever in it."""
        self.socket.sendall(struct.pack("<I", len(body)) + body)

    def send(self, type_: str, files: Sequence[int] = (), **fields: Any) -> int:
        self._last += 1
        frame = encode({"type": type_, "id": self._last, **fields})
        sent = socket.send_fds(self.socket, [frame], list(files)) if files else 0
        if sent < len(frame):  # it may have been refused and hung up by now
            self.socket.sendall(frame[sent:])
        return self._last

    def receive(self) -> dict[str, Any]:
        while not self._waiting:
            data, files, _, _ = socket.recv_fds(self.socket, 65536, 4, socket.MSG_CMSG_CLOEXEC)
            self.files += files
            if not data:
                raise Hung
            self._waiting += self._frames.feed(data)
        message: dict[str, Any] = json.loads(self._waiting.pop(0))
        if message["type"] == "ended":
            self.ended[message["record"]["name"]] = message["record"]
        if message["type"] == "progressed":
            self.progressed.append(message["name"])
        return message

    def ask(self, type_: str, files: Sequence[int] = (), **fields: Any) -> dict[str, Any]:
        number = self.send(type_, files, **fields)
        while True:
            reply = self.receive()
            if reply["id"] == number and reply["type"] == "done":
                return reply
            if reply["type"] == "error":
                raise Refusal(reply)

    def launch(self, name: str, *argv: str, files: Sequence[int] = (), **fields: Any) -> Any:
        strict = fields.get("level") == "strict"
        task = "/run/env-runner" if strict else f"{self.welcome['root']}/{name}/disk/task"
        mark = f"{task}/context.json"  # as the executor does
        request: dict[str, Any] = {
            **{key: value for key, value in LAUNCH.items() if key not in ("type", "id")},
            "name": name,
            "task_id": f"task-{name}",
            "argv": argv,
            "env": {"PATH": "/usr/bin:/bin", "ENV_RUNNER_CONTEXT": mark, **fields.pop("env", {})},
            "wall": 60,
            "output": 1 << 30,
            **fields,
            "limits": {**NO_LIMITS, **fields.get("limits", {})},
        }
        return self.ask("launch", files, **request)

    def python(self, name: str, program: str, **fields: Any) -> Any:
        return self.launch(name, sys.executable, "-S", "-c", program, **fields)

    def end(self, name: str) -> dict[str, Any]:
        """The record of its end, once it is told."""
        while name not in self.ended:
            self.receive()
        return self.ended[name]


class Keeper:
    """A keeper's root, and the keeper that has it now."""

    def __init__(
        self,
        root: Path,
        *options: str,
        code: Path = PROJECT,
        sandboxed: bool = False,
        user: int | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        """`code` is where the package lies that is run, `user` as whom, if not as this one.
        Tasks may do without a sandbox, unless they have to be `sandboxed`. `prefix` is a command
        that goes on as the keeper, and becomes the user itself."""
        self.prefix = prefix
        self.root = root
        self.code = code
        self.user = user
        self.options = options if sandboxed else ("--allow-none", *options)
        self.log = root.parent / "keeper.log"
        self.clients: list[Client] = []
        self.pid = 0
        self.start()

    def start(self, *options: str) -> None:
        flags = ("-S", "-s", "-P", "-m", "runner.keeper", "--root", str(self.root), "--detach")
        python = sys.executable if self.user is None else python_for_others()
        assert python is not None
        command = [*self.prefix, python, *flags, *self.options, *options]
        environment = {**os.environ, "PYTHONPATH": str(self.code)}
        own = self.user is None or bool(self.prefix)
        whose = {} if own else {"user": self.user, "group": self.user}
        with self.log.open("ab") as log:
            subprocess.run(
                command,
                stderr=log,
                env=environment,
                check=True,
                extra_groups=[] if whose else None,
                **whose,
            )
        self.pid = next(
            process.pid
            for process in psutil.process_iter(["cmdline"])
            if str(self.root) in (process.info["cmdline"] or ())
        )

    def client(self, epoch: int = 1, **words: Any) -> Client:
        self.clients.append(Client(self.root, epoch, **words))
        return self.clients[-1]

    def stdout(self, name: str) -> bytes:
        return (self.root / name / "output/stdout").read_bytes()

    def says(self, name: str, what: bytes) -> None:
        eventually(lambda: what in self.stdout(name), f"{name} writes {what!r}")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def gone(self) -> None:
        eventually(lambda: not alive(self.pid), "the keeper has ended")

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.gone()

    def close(self) -> None:
        """End it, and another one after it where it was killed, so that nothing is left."""
        for client in self.clients:
            client.close()
        if not alive(self.pid):
            self.start()
        self.signal(signal.SIGTERM)
        self.gone()
