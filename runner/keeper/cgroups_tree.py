"""The files of control groups: where this process's own groups are, and how one is read, written
and removed. What is written where is said by `cgroups_v1.py` and `cgroups_v2.py`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re

from runner.keeper.tracing import read

V2 = ""
"""The name of the unified hierarchy, which unlike the old ones has none of a controller's."""

Settings = list[tuple[str, str]]
"""Files of a group and what to write to them; the first has to be there."""

_ESCAPED = re.compile(r"\\([0-7]{3})")


def own_directories(proc: str = "/proc/self") -> dict[str, str]:
    """The directory of the group that this process is in, by controller, and by V2. Only those
    that are mounted here. Raises OSError."""
    own: dict[str, str] = {}
    with open(f"{proc}/cgroup") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            own |= dict.fromkeys(controllers.split(","), path)
    found: dict[str, str] = {}
    with open(f"{proc}/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            kind, _, options = rest.split()[:3]
            if kind not in ("cgroup", "cgroup2"):
                continue
            root, point = (_plain(field) for field in fields.split()[3:5])
            for name in [V2] if kind == "cgroup2" else options.split(","):
                below = _below(own.get(name, "/.."), root)
                if below is not None and name not in found:
                    found[name] = os.path.normpath(point + below)
    return found


def _plain(field: str) -> str:
    """A field of mountinfo without its escapes."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), field)


def _below(path: str, root: str) -> str | None:
    """What of a group's path lies below the one that is mounted; None where it is elsewhere."""
    root = root.rstrip("/")
    if path.startswith("/..") or not (path + "/").startswith(root + "/"):
        return None
    return path[len(root) :]


def write(path: str, text: str) -> None:
    """Write to one of a group's files. Raises OSError."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)


def apply(path: str, settings: Settings) -> None:
    """Write all of them, but those that this kernel does not have. Raises OSError."""
    for number, (name, text) in enumerate(settings):
        try:
            write(f"{path}/{name}", text)
        except FileNotFoundError:
            if number == 0:
                raise


def word(path: str) -> str:
    """What a file of one word has; empty where it cannot be read."""
    try:
        return read(path).decode().strip()
    except OSError:
        return ""


def number(path: str) -> int | None:
    """What a file of one number has; None for no limit, and where it cannot be read."""
    text = word(path)
    return int(text) if text.isdecimal() else None


def table(path: str) -> dict[str, int]:
    """The counters in a file of `name number` lines; empty where it cannot be read."""
    words = word(path).split()
    return {
        name: int(value)
        for name, value in zip(words[::2], words[1::2], strict=False)
        if value.isdecimal()
    }


def pids_refused(path: str) -> int:
    """How many forks the group's own limit has refused, in either version.

    Older kernels count in it what a group further up refused: that is told by the peak (Linux
    6.1), which then has not come to the limit.
    """
    refused = table(f"{path}/pids.events").get("max", 0)
    if refused:
        peak, most = number(f"{path}/pids.peak"), number(f"{path}/pids.max")
        if most is None or (peak is not None and peak < most):
            return 0
    return refused


def swap_in_use() -> bool:
    """Whether this host has swap that processes could be moved to."""
    try:
        return len(read("/proc/swaps").splitlines()) > 1
    except OSError:
        return False


def why(path: str, error: OSError) -> str:
    """What went wrong with a group, for a person."""
    denied = error.errno in (errno.EACCES, errno.EPERM) and os.geteuid() != 0
    user = ", and the keeper is not root" if denied else ""
    return f"{path}: {error.strerror}{user}"


def remove(path: str) -> None:
    """Remove a group with those below it, as far as they are empty; fine where it is gone."""
    try:
        os.rmdir(path)  # as most are: with none below
    except FileNotFoundError:
        return
    except OSError:
        for directory, _, _ in os.walk(path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
