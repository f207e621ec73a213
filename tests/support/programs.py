"""What crash tests let tasks do: print much, slowly enough to be interrupted, and end in a
way that can be told from any other. Each marks its real starts in a file.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from pathlib import Path

PYTHON = "/usr/bin/python3"

# Arguments: marker, last line, lines a block, seconds between blocks, exit code or -signal. It
# pauses no more once there is a file beside the marker.
COUNT = r"""
import os, sys, time, signal
marker, last, block, pause, how = sys.argv[1], *map(float, sys.argv[2:])
hurry = marker + ".hurry"
with open(marker, "a") as file:
    file.write("started\n")
for first in range(1, int(last) + 1, int(block)):
    lines = range(first, min(first + int(block), int(last) + 1))
    data = memoryview("".join(f"{n}\n" for n in lines).encode())
    while data:
        data = data[os.write(1, data):]
    os.write(2, b"%d\n" % lines[-1])
    os.path.exists(hurry) or time.sleep(pause)
if how < 0:
    signal.signal(int(-how), signal.SIG_DFL) if how != -9 else None
    os.kill(os.getpid(), int(-how))
os._exit(int(how))
"""

SIGNALS = (9, 15, 11, 6)


@dataclass(frozen=True)
class Count:
    """Prints 1 to `last`, `block` lines at a time, and the last line of each block on stderr;
    then ends with the exit code `how`, or by the signal `-how`."""

    task_id: str
    last: int
    how: int
    block: int = 1000
    pause: float = 0.01

    def payload(self, markers: Path) -> dict[str, object]:
        marker = str(markers / self.task_id)
        numbers = (self.last, self.block, self.pause, self.how)
        return program(COUNT, marker, *map(str, numbers))

    def hurry(self, markers: Path) -> None:
        """Let it pause no more: what was to happen while it prints has happened."""
        (markers / f"{self.task_id}.hurry").touch()

    @property
    def code(self) -> int | None:
        return self.how if self.how >= 0 else None

    @property
    def signal(self) -> int:
        return max(0, -self.how)

    def stdout(self) -> bytes:
        return "".join(f"{n}\n" for n in range(1, self.last + 1)).encode()

    def stderr(self) -> bytes:
        ends = (min(n + self.block - 1, self.last) for n in range(1, self.last + 1, self.block))
        return "".join(f"{n}\n" for n in ends).encode()

    def digests(self) -> tuple[str, str]:
        return sha256(self.stdout()), sha256(self.stderr())


def drawn(draw: random.Random, task_id: str) -> Count:
    """A task at random: from nothing to 100,000 lines, from at once to two seconds."""
    last = draw.choice((1, 10, 1000, 20_000, 100_000))
    how = draw.choice((0, draw.randrange(1, 256), -draw.choice(SIGNALS)))
    block = max(1, last // draw.choice((1, 10, 50)))
    return Count(task_id, last, how, block, draw.choice((0.0, 0.01, 0.04)))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


SMALL: dict[str, object] = {"cpu": 0.05, "memory": "16MiB"}
"""What a task asks for, so that many may run at once on a small host."""


def shell(text: str, **execution: object) -> dict[str, object]:
    """A payload for a few words of shell, with more keys of `execution`."""
    return _payload(["/bin/sh", "-c", text], execution)


def program(text: str, *arguments: str, **execution: object) -> dict[str, object]:
    """A payload for a few lines of Python."""
    return _payload([PYTHON, "-ISc", text, *arguments], execution)


def _payload(command: list[str], execution: dict[str, object]) -> dict[str, object]:
    resources = execution.pop("resources", {})
    assert isinstance(resources, dict)
    return {"execution": {"command": command, "resources": SMALL | resources, **execution}}
