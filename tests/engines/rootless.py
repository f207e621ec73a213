"""A private service of Podman's that an ordinary user runs, in user namespaces of its own.

The user is but a number: the files that Podman and newuidmap look it up in are put over those of
the host in a mount namespace that ends with the service. Needs root to become that user.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from tests.engines.podman import Podman
from tests.engines.process import end

_OWN = os.getpid() % 10_000  # so that test processes beside each other have users apart
_MOST = 10_000
COUNT = 65_536  # users below each

_numbers: set[int] = set()
"""Of the engines of this process that are there: each has a user of its own, since whatever runs as
that user ends with it."""


def _files(uid: int, first: int) -> dict[str, str]:
    return {
        "passwd": f"root:x:0:0:root:/root:/bin/sh\ncontained:x:{uid}:{uid}::/:/bin/sh\n",
        "group": f"root:x:0:\ncontained:x:{uid}:\n",
        "subuid": f"contained:{first}:{COUNT}\n",
        "subgid": f"contained:{first}:{COUNT}\n",
    }


_BECOME = """\
for each in passwd group subuid subgid; do mount --bind "$1/etc/$each" "/etc/$each" || exit 1; done
cd "$1" && exec setpriv --reuid "$2" --regid "$2" --clear-groups podman system service --time 0 "$3"
"""


class Rootless(Podman):
    """As `Podman`, as an ordinary user."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.storage = directory / ".local/share/containers/storage"
        self._number = next(n for n in range(3) if n not in _numbers)
        _numbers.add(self._number)
        own = _OWN + self._number * _MOST
        self.uid, self.first = 4_000_000 + own, 2_200_000_000 + own * COUNT
        (directory / "etc").mkdir()
        for name, text in _files(self.uid, self.first).items():
            (directory / "etc" / name).write_text(text)
        (directory / "xdg").mkdir(mode=0o700)
        (directory / "log").touch()
        for at in (directory, *directory.rglob("*")):
            os.chown(at, self.uid, self.uid)

    def command(self) -> list[str]:
        words = [str(self.directory), str(self.uid), self.url]
        return ["unshare", "--mount", "sh", "-c", _BECOME, "become", *words]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"XDG_RUNTIME_DIR": f"{self.directory}/xdg"}

    def own(self) -> set[int]:
        """The service is two processes, and what holds its namespace is a third."""
        users = self._of_user()
        return super().own() | {each.pid for each in users if _is_engine(each)}

    async def close(self) -> None:
        await super().close()
        for process in self._of_user():
            await end(process, first=signal.SIGKILL)
        _numbers.discard(self._number)

    def _of_user(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter(["uids"]):
            uids = process.info["uids"]
            if uids and (uids.real == self.uid or 0 <= uids.real - self.first < COUNT):
                found.append(process)
        return found


def _is_engine(process: psutil.Process) -> bool:
    """Whether it is the service or what holds its namespace, and not the init of a container."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return words[:2] == ["podman", "system"] or words == ["catatonit", "-P"]
