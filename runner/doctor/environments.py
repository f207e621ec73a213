"""Checks whether the environments of Python tasks can be built and used: uv, packages, the way to
them. Not here: which interpreters there are.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from runner import environments
from runner.config.model import Config
from runner.doctor.finding import Finding, ok, warn
from runner.doctor.gpu_access import keepers_user

_PATIENCE = 10.0  # seconds


async def examine(config: Config) -> list[Finding]:
    """`python.uv`, `python.packages` and `python.directory`; none where nothing runs here."""
    if not config.local.enabled:
        return []
    return [
        await uv(environments.uv(config.python.uv)),
        packages(config),
        way(config.environments, others=_others(config)),
    ]


def _others(config: Config) -> bool:
    """Whether tasks see the host as it is, and are other users than the daemon."""
    if config.local.sandbox not in {"standard", "none"}:
        return False
    return os.geteuid() == 0 or keepers_user(config) == 0


async def uv(path: str) -> Finding:
    """Whether there is a uv that runs."""
    remedy = "install the extra `python` (pip install 'env-runner[python]'), or name one: python.uv"
    if not path:
        return warn("python.uv", "uv is not there: no task can have requirements", remedy)
    try:
        process = await asyncio.create_subprocess_exec(
            *(path, "--version"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
    except OSError as error:
        return warn("python.uv", f"{path} cannot be run: {error.strerror}", remedy)
    try:
        async with asyncio.timeout(_PATIENCE):
            said, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return warn("python.uv", f"{path} does not answer", remedy)
    if process.returncode != 0:
        return warn("python.uv", f"{path} exits with {process.returncode}", remedy)
    return ok("python.uv", f"{said.decode(errors='replace').strip()[:100]} ({path})")


def packages(config: Config) -> Finding:
    """Whether there is anywhere that packages come from."""
    houses = config.python.wheel_houses
    for house in houses:
        try:
            next(iter(Path(house).iterdir()))
        except StopIteration:
            return warn("python.packages", f"{house} is empty", "put wheels there")
        except OSError as error:
            remedy = "name a directory that the daemon can read: python.wheel_houses"
            return warn("python.packages", f"{house}: {error.strerror}", remedy)
    sources = [*([config.python.index] if config.python.index else []), *houses]
    if not sources:
        return ok("python.packages", "from nowhere: a task that has requirements is refused")
    return ok("python.packages", f"from {', '.join(sources)}")


def way(directory: Path, *, others: bool) -> Finding:
    """Whether tasks that are `others` than the daemon, outside the strict sandbox, get there."""
    there = next(each for each in (directory, *directory.parents) if each.exists())
    closed = [each for each in (there, *there.parents) if not each.stat().st_mode & stat.S_IXOTH]
    if others and closed:
        found = f"tasks outside the strict sandbox cannot pass {closed[-1]}"
        remedy = "name a directory that every user can pass: python.directory"
        return warn("python.directory", found, remedy)
    return ok("python.directory", f"{directory}")
