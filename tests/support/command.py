"""The command `env-runner`, run as a user runs it: in a process of its own.

Not here: the daemon that it speaks to (`daemon.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    out: bytes
    err: bytes

    @property
    def text(self) -> str:
        return self.out.decode()

    @property
    def lines(self) -> list[str]:
        """What it said on stderr."""
        return self.err.decode().splitlines()


class Command:
    """`env-runner` with an environment; payloads are files in `directory`."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self.directory = directory
        kept = {key: value for key, value in os.environ.items() if "ENV_RUNNER__" not in key}
        # tasks of tests leave marks outside their workspaces
        kept.setdefault("ENV_RUNNER_EXECUTORS__LOCAL__SANDBOX", "none")
        self.environment = {**kept, **environment, "PYTHONPATH": str(ROOT)}
        self._made = 0

    async def start(
        self, *arguments: str | Path, out: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """Start it; its streams are pipes, but for a stdout that is given."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "runner",
            *map(str, arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
            cwd=self.directory,
        )

    async def __call__(self, *arguments: str | Path) -> Ended:
        """Run it to its end."""
        return await finish(await self.start(*arguments))

    async def unwritable(self, *arguments: str | Path) -> Ended:
        """Run it to its end; there is no room for what it prints."""
        full = os.open("/dev/full", os.O_WRONLY)
        try:
            return await finish(await self.start(*arguments, out=full))
        finally:
            os.close(full)

    async def closed(self, number: int, *arguments: str | Path) -> Ended:
        """Run it to its end; its descriptor of that number is closed."""
        script = f'exec "$0" -m runner "$@" {number}>&-'
        return await finish(
            await asyncio.create_subprocess_exec(
                *("sh", "-c", script, sys.executable, *map(str, arguments)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self.environment,
                cwd=self.directory,
            )
        )

    def payload(self, *command: str, **execution: object) -> Path:
        """A payload file for that argv."""
        self._made += 1
        path = self.directory / f"payload-{self._made}.json"
        path.write_text(json.dumps({"execution": {"command": command, **execution}}))
        return path


async def finish(process: asyncio.subprocess.Process) -> Ended:
    """Wait for its end."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out or b"", err)
