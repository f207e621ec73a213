"""What the kernel tells of a container's first process: whether the program itself has begun.

An engine's own init is started first and starts the program, so that the engine calls a container
started whose program cannot be. Not here: what init says of that (`unstarted`, in `ends.py`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path

_PROC = Path("/proc")
_PATIENCE = 1.0  # seconds until it is taken for begun: a busy host may take some of them
_PAUSE = 0.001


async def begun(pid: int, proc: Path = _PROC) -> bool:
    """Whether the program was begun by the init `pid`; False where init has ended already, which
    says nothing. Where the kernel does not tell this process of others, it was."""
    if _name(1, proc) is None:  # /proc is mounted with hidepid
        return True
    init = _name(pid, proc)
    loop = asyncio.get_running_loop()
    until = loop.time() + _PATIENCE
    pause = _PAUSE
    while init is not None and loop.time() < until:
        children = _children(pid, proc)
        if children is None:
            return _name(pid, proc) is not None
        names = {_name(child, proc) for child in children}
        # read anew: a moment ago it may have been the runtime, of which init takes the place
        init = _name(pid, proc)
        if names - {init, None}:
            return init is not None
        await asyncio.sleep(pause)
        pause = min(pause * 2, 0.05)
    return init is not None


def user(pid: int, proc: Path = _PROC) -> int | None:
    """The effective uid of a process, on this host; None where it has ended."""
    try:
        for line in (proc / str(pid) / "status").read_text().splitlines():
            if line.startswith("Uid:"):
                return int(line.split()[2])
    except (OSError, ValueError, IndexError):
        pass
    return None


def same_file(pid: int, target: str, device: int, inode: int, proc: Path = _PROC) -> bool | None:
    """Whether the process sees that very file or directory at `target`; None where it has ended,
    or may not be looked into."""
    try:
        seen = (proc / str(pid) / "root" / target.lstrip("/")).stat()
    except OSError:
        return None
    return (seen.st_dev, seen.st_ino) == (device, inode)


def _name(pid: int, proc: Path) -> str | None:
    """What it runs, by its first 15 characters; None where it has ended, reaped or not."""
    try:
        text = (proc / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    return None if rest.split()[:1] in (["Z"], ["X"]) else name


def _children(pid: int, proc: Path) -> list[int] | None:
    try:
        text = (proc / str(pid) / "task" / str(pid) / "children").read_text()
    except OSError:
        return None
    return [int(word) for word in text.split() if word.isdecimal()]
