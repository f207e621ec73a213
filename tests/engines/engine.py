"""One engine that the tests may use: started by them, or one that is there and was pointed at.

`Engine` is what tests see. How a private one is started is in `dockerd.py` and `podman.py`.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path

from tests.engines.oci import Image
from tests.engines.process import end, having, remove_cgroups, spawn, unmount_below
from tests.engines.talk import Talk
from tests.support.waiting import until

STARTS = 60.0  # seconds that an engine has to answer


class Engine:
    """One that is there: nothing of it is started or ended."""

    kind = ""
    private = False  # whether it may be killed and started again

    def __init__(self, kind: str, url: str) -> None:
        self.kind = kind
        self.url = url
        self.talk = Talk(url)

    def own(self) -> set[int]:
        """The pids of the engine itself, which are no leaks of a test."""
        return set()

    def empty(self) -> bool:
        """Whether it is plain, without asking it, that it holds neither container nor volume."""
        return False

    def load(self, image: Image, name: str) -> None:
        """Give it an image, under a name with a tag."""
        with tempfile.TemporaryDirectory() as directory:
            self.talk.load(image.archive(Path(directory, "image.tar"), name))

    async def close(self) -> None:
        """Leave it as it is."""


class Private(Engine, ABC):
    """One that is started below `directory`, which is its own. Subclasses say how."""

    private = True

    def __init__(self, kind: str, directory: Path) -> None:
        directory.mkdir()
        super().__init__(kind, f"unix://{directory}/s.sock")
        self.directory = directory
        self.socket = directory / "s.sock"
        self.log = directory / "log"
        self.cgroup = f"er-{kind}-{directory.parent.name}"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """What is run."""

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """In what; the engine inherits nothing."""

    def given(self) -> tuple[int, ...]:
        """Descriptors that it gets."""
        return ()

    @abstractmethod
    def holds(self) -> Iterator[Path]:
        """Directories in which each of its containers and volumes has one of its own."""

    def empty(self) -> bool:
        """None has a directory. Asked before and after each test: an engine costs more to ask."""
        return not any(entry.is_dir() for path in self.holds() for entry in path.iterdir())

    async def clear(self) -> None:
        """Remove what one that was killed left in the way of the next."""
        self.socket.unlink(missing_ok=True)

    async def start(self) -> None:
        """Start it, and return once it answers."""
        await self.clear()
        process = spawn(self.command(), self.log, self.environment(), self.given())
        self._process = process
        try:
            await until(
                lambda: self.talk.answers() or process.poll() is not None,
                f"{self.kind} answers",
                STARTS,
            )
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.tail()}") from None
        if process.poll() is not None:
            raise AssertionError(f"{self.kind} ended with {process.poll()}:\n{self.tail()}")

    async def stop(self, first: int = signal.SIGTERM) -> None:
        """Ask it to end, and return once it has."""
        process, self._process = self._process, None
        assert process is not None
        await end(process, first=first)

    async def kill(self) -> None:
        """kill -9, gone when this returns."""
        await self.stop(signal.SIGKILL)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing for as long as this lasts."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def own(self) -> set[int]:
        return {self._process.pid} if self._process else set()

    def tail(self, most: int = 4000) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-most:] if self.log.exists() else ""

    async def close(self) -> None:
        """End it and whatever of it is left: containers, mounts, cgroups, files."""
        if self._process is not None:
            for name in self.talk.containers() if self.talk.answers() else ():
                self.talk.remove(name)
            await self.kill()  # all of it goes, and dockerd takes a second to end in order
        await self.clear()
        for process in having(str(self.directory)):
            await end(process, first=signal.SIGKILL)
        await unmount_below(self.directory)
        remove_cgroups(self.cgroup)
        shutil.rmtree(self.directory, ignore_errors=True)
