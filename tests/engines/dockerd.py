"""A private dockerd: own socket, data, containerd and cgroups; no bridge, no rule of iptables."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.engines.engine import Private
from tests.engines.process import end

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


# systemd's protocol: the first socket is descriptor 3, and who gets it is named by its pid
_ACTIVATED = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Dockerd(Private):
    """`live_restore` and `activated` may be changed between two starts: the latter is that its
    socket is not its own and stays when it goes, as under systemd."""

    def __init__(self, directory: Path, *, live_restore: bool = True) -> None:
        super().__init__("docker", directory)
        self.live_restore, self.activated = live_restore, False
        self._listening: socket.socket | None = None
        self._run = directory / "x"  # short: paths of sockets lie below it
        (directory / "daemon.json").write_text("{}")  # and not that of the host

    def command(self) -> list[str]:
        given = [str(each) for each in self.given()]
        return [
            *([sys.executable, "-c", _ACTIVATED, *given] if given else ()),
            "dockerd",
            *("--host", "fd://" if given else self.url),
            *("--config-file", f"{self.directory}/daemon.json"),
            *("--data-root", f"{self.directory}/data"),
            *("--exec-root", str(self._run)),
            *("--pidfile", f"{self.directory}/pid"),
            *("--cgroup-parent", f"/{self.cgroup}"),
            *("--shutdown-timeout", "3"),
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
            f"--live-restore={str(self.live_restore).lower()}",
        ]

    def environment(self) -> dict[str, str]:
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True)
        return {"PATH": PATH, "HOME": str(self.directory), "DOCKER_TMPDIR": str(temporary)}

    def given(self) -> tuple[int, ...]:
        if not self.activated:
            return ()
        if self._listening is None:
            self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listening.bind(str(self.socket))
            self._listening.listen(64)
        return (self._listening.fileno(),)

    def holds(self) -> Iterator[Path]:
        data = self.directory / "data"
        yield from (path for path in (data / "containers", data / "volumes") if path.is_dir())

    async def close(self) -> None:
        await super().close()
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def clear(self) -> None:
        """One that was killed leaves its containerd, on which the next one waits in vain."""
        if self._listening is None:
            await super().clear()
        (self.directory / "pid").unlink(missing_ok=True)
        if pid := self._containerd():
            with contextlib.suppress(psutil.Error):
                await end(psutil.Process(pid))
        for path in (self._run / "containerd").glob("containerd*.sock*"):
            path.unlink(missing_ok=True)
        (self._run / "containerd" / "containerd.pid").unlink(missing_ok=True)

    def own(self) -> set[int]:
        return super().own() | {self._containerd()} - {0}

    def _containerd(self) -> int:
        """The pid of its containerd, 0 where none runs."""
        try:
            pid = int((self._run / "containerd" / "containerd.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return 0
        return pid if os.fsencode(self._run) in command else 0
