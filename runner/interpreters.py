"""The Pythons of this host, and of which version each is: they are asked, once.

Not here: which of them a task gets (`planning.python`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.config import Config

OLDEST = (3, 8)
"""What the runner's own part of a call needs."""

_PROGRAM = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
_PATIENCE = 10.0  # seconds for one to answer
_NAME = re.compile(r"python3\.([0-9]{1,2})")
_VERSION = re.compile(rb"[0-9]{1,2}(?:\.[0-9]{1,3}){2}")


def usual(directory: Path = Path("/usr/bin")) -> tuple[str, ...]:
    """Those of the system, the newest first."""
    try:
        found = [_NAME.fullmatch(path.name) for path in directory.iterdir()]
    except OSError:
        return ()
    minors = sorted((int(each[1]) for each in found if each), reverse=True)
    return tuple(str(directory / f"python3.{minor}") for minor in minors)


@dataclass(frozen=True, slots=True)
class Interpreters:
    """By path: the version of each that tasks can have, the preferred one first; and why of the
    others."""

    versions: Mapping[str, str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)


async def there(config: Config) -> Interpreters:
    """Those that the configuration names, else those of the system."""
    if not config.local.enabled:
        return Interpreters()
    named = config.python.interpreters
    return await ask(usual() if named is None else named)


async def ask(paths: Sequence[str]) -> Interpreters:
    """What is at the paths."""
    answers = dict(zip(paths, await asyncio.gather(*map(_ask, paths)), strict=True))
    return Interpreters(
        {path: version for path, (version, problem) in answers.items() if not problem},
        {path: problem for path, (_, problem) in answers.items() if problem},
    )


async def _ask(path: str) -> tuple[str, str]:
    """Its version, or why it is not used."""
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "-ISc",
            _PROGRAM,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd="/",
            env={},
        )
    except OSError as error:
        return "", f"it cannot be started: {error.strerror}"
    try:
        async with asyncio.timeout(_PATIENCE):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return "", f"it has not told its version within {_PATIENCE:g} s"
    if process.returncode != 0 or not _VERSION.fullmatch(out.strip()):
        return "", "it has not told its version: it is no Python 3, or is broken"
    version = out.strip().decode()
    if tuple(map(int, version.split(".")))[:2] < OLDEST:
        return "", f"it is {version}; {'.'.join(map(str, OLDEST))} is the oldest that can be used"
    return version, ""
