"""The double of NVIDIA's driver library (`tests/gpu/nvml_double.c`): built by gcc, steered by a
file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "gpu/nvml_double.c"
LIBRARY = "libnvidia-ml.so.1"
STATE = "NVML_DOUBLE_STATE"


def build(directory: Path) -> Path:
    """The library in that directory, made where it is not there. Skips where there is no gcc."""
    library = directory / LIBRARY
    if library.exists():
        return library
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("there is no C compiler: apt-get install gcc libc6-dev")
    words = ["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", f"-Wl,-soname,{LIBRARY}"]
    made = library.with_suffix(f".{os.getpid()}")
    subprocess.run([gcc, *words, "-o", str(made), str(SOURCE), "-lpthread"], check=True)
    made.rename(library)
    return library


@dataclass(frozen=True)
class Card:
    """A device of the double; MiB, percent. `status` is ok, lost, or an error code of NVML."""

    uuid: str
    total: int = 16_384
    used: int = 0
    percent: int = 0
    status: str = "ok"
    name: str = "Double 16G"
    minor: int | None = None
    mig: bool = False
    worn: bool = False
    pending: bool = False
    reserved: int = 0
    processes: tuple[int, ...] = ()
    drawing: tuple[int, ...] = ()

    def lines(self) -> Iterable[str]:
        yield (f"gpu {self.uuid} {self.total} {self.used} {self.percent} {self.status} {self.name}")
        if self.reserved:
            yield f"reserved {self.uuid} {self.reserved}"
        if self.minor is not None:
            yield f"minor {self.uuid} {self.minor}"
        yield from (
            f"{word} {self.uuid}" for word in ("mig", "worn", "pending") if getattr(self, word)
        )
        yield from (f"proc {self.uuid} {pid}" for pid in self.processes)
        yield from (f"drawing {self.uuid} {pid}" for pid in self.drawing)


@dataclass
class Machine:
    """What the double tells of. `cards` are in the order of their indexes; `more` are further
    lines (`fail …`, `sleep …`, `crash …`, `init …`). `load` is which load of the module this is."""

    file: Path
    library: Path
    events: list[str] = field(default_factory=list)
    load: int = 1

    def has(self, cards: Sequence[Card] = (), *more: str, driver: str = "550.00") -> None:
        """From now on, in one step."""
        lines = [f"driver {driver}", *(line for card in cards for line in card.lines())]
        aside = self.file.with_suffix(".new")
        aside.write_text("\n".join([*lines, *self.events, *more]) + "\n")
        aside.rename(self.file)

    def throws(self, uuid: str, xid: int) -> None:
        """The device throws that, told with the next `has`."""
        self.events.append(f"xid {len(self.events) + 1} {uuid} {xid}")

    def without_driver(self) -> None:
        """The module is unloaded."""
        self.file.unlink(missing_ok=True)
        self.load += 1
