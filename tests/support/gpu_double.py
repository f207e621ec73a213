"""The host of `gpu_host.py` as NVIDIA's driver tells of it: by the double of its library, which
says of each device what runs on it, some hundredths of a second late.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from tests.support.gpu_host import GpuFile, users
from tests.support.gpu_ports import card
from tests.support.nvml import STATE, Machine

_PAUSE = 0.03  # seconds between two tellings of what runs


class GpuDouble(GpuFile):
    """See GpuFile. `library` is the double's. Told anew by a thread, until `close`."""

    def __init__(self, path: Path, place: Path, library: Path, *uuids: str) -> None:
        self.machine = Machine(path, library)
        self.more: tuple[str, ...] = ()  # further lines for the double
        self._ended, self._telling = threading.Event(), threading.Lock()
        super().__init__(path, place, *uuids)
        self._thread = threading.Thread(target=self._tell)
        self._thread.start()

    def command(self, *words: str) -> tuple[str, ...]:
        variables = f"LD_LIBRARY_PATH={self.machine.library.parent}", f"{STATE}={self.path}"
        runner = (sys.executable, "-m", "runner.cli.main")
        return (*self.nodes.prefix, "/usr/bin/env", *variables, *runner, *words)

    def write(self) -> None:
        with self._telling:
            if self.problem:
                self.machine.without_driver()
                return
            on = users(self.path.parent)
            cards = [card(gpu, on.get(uuid, ())) for uuid, gpu in self.devices.items()]
            self.machine.has(cards, *self.more)

    def close(self) -> None:
        """Tell of nothing any more."""
        self._ended.set()
        self._thread.join()

    def _tell(self) -> None:
        while not self._ended.wait(_PAUSE):
            self.write()
