"""What the kernel tells of a container's first process: whether the program itself has begun.

An engine's own init is started first and starts the program, so that the engine calls a container
started whose program cannot be. Not here: what init says of that (`unstarted`, in `ends.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

_PROC = Path("/proc")
_PATIENCE = 1.0  # seconds until it is taken for begun: a busy host may take some of them
_FILTERED = 2.0  # likewise until what a runtime does at its end is taken for not done
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


async def loosened(pid: int, user: str, proc: Path = _PROC) -> str:
    """What the container with the first process `pid` lacks of what keeps it in, `user` being the
    "uid:gid" that it was to have; empty where it lacks nothing, has ended, or may not be looked
    into. An engine may be set up to give less, and tells of no container which filter it got."""
    loop = asyncio.get_running_loop()
    until = loop.time() + _FILTERED
    while True:
        status = _status(pid, proc)
        why = _loose(status, user)
        # a runtime sets the filter at the very last, so that it may be seen without
        if not why or loop.time() >= until:
            return why
        await asyncio.sleep(_PAUSE)


def _loose(status: Mapping[str, str], user: str) -> str:
    uid, _, gid = user.partition(":")
    for key, own in (("Uid", uid), ("Gid", gid)):
        if any(each != own for each in status.get(key, "").split()):
            return f"it runs with {key.lower()} {status[key].split()[0]}, not {own}"
    for key in ("CapPrm", "CapEff", "CapBnd"):
        if int(status.get(key, "0"), 16):
            return f"it has capabilities ({key} is {status[key]})"
    if status.get("NoNewPrivs", "1") != "1":
        return "it may get new privileges"
    if status.get("Seccomp", "2") != "2":
        return "it runs without a seccomp profile: its engine is set up so"
    return ""


def _status(pid: int, proc: Path) -> dict[str, str]:
    """The lines of /proc/PID/status; none where it has ended, reaped or not."""
    try:
        lines = (proc / str(pid) / "status").read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return {} if found.get("State", "").startswith(("Z", "X")) else found


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
