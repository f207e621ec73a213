"""What a test may leave behind: nothing. Finds processes, descriptors, cgroups and containers.

A `Census` is taken before a test and compared after it. What is only slow to go away has a
moment to do so. Not here: when it is asked for (`tests/conftest.py`).
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

from runner.keeper.ahead import PREFIX as AHEAD
from runner.keeper.cgroups_tree import V2, own_directories
from tests.engines import known

MARK = "ENV_RUNNER_TEST_WORKER"
"""A variable that every process started by this test process inherits, unless it is cleaned."""

_AHEAD = re.compile(rf"/({re.escape(AHEAD)}(\d+)\.[0-9a-f]+\.\d+)")
"""A cgroup that was made for a task to come, and the pid of its keeper; a task that has it now
has the directory of that name no more."""

PATIENCE = 5.0  # seconds that a leak has to go away by itself; paid only where there is one

# Made once by a library and kept for the life of the process, whoever comes first.
KEPT_BY_LIBRARIES = ("/dev/null", "/dev/urandom")


@dataclass(frozen=True)
class Place:
    """Where this test process may be recognised: its mark, its directories, its cgroup."""

    mark: str
    directory: Path  # all that its tests make lies below
    cgroup: Path | None  # its own, where it could make one
    old_cgroups: tuple[Path, ...] = ()  # those of the old hierarchies, beside it

    def cgroups(self) -> set[str]:
        """All that lie below its own."""
        own = [] if self.cgroup is None else [self.cgroup]
        return set().union(*(cgroups(path) for path in (*own, *self.old_cgroups)))


@dataclass(frozen=True)
class Census:
    """What there is at one moment."""

    place: Place
    pids: frozenset[str]
    descriptors: frozenset[tuple[int, str]]
    cgroups: frozenset[str]
    contained: frozenset[tuple[str, str, str]] = frozenset()  # what engines hold

    @classmethod
    def take(cls, place: Place) -> Census:
        """Count all there is now."""
        return cls(
            place,
            frozenset(_pids()),
            frozenset(descriptors()),
            frozenset(place.cgroups()),
            frozenset(known.things()),
        )

    def leaks(self) -> list[str]:
        """What is there now and was not then, a line each, once it had time to go away."""
        found = self._found()
        if not found:
            return []
        gc.collect()  # what hangs in a cycle is no leak
        deadline, pause = time.monotonic() + PATIENCE, 0.005
        while (found := self._found()) and time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(pause * 2, 0.1)
        return found

    def end_leaked(self) -> None:
        """Kill the processes that were leaked, remove their cgroups and containers, for the next
        test."""
        known.remove(self._contained())
        for process in self._processes():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        left = (path for path in self.place.cgroups() - self.cgroups if not self._is_ahead(path))
        deepest_first = sorted(left, key=len, reverse=True)
        deadline = time.monotonic() + PATIENCE
        for path in deepest_first:
            while Path(path).is_dir() and time.monotonic() < deadline:
                with contextlib.suppress(OSError):
                    Path(path).rmdir()
                time.sleep(0.005)

    def _found(self) -> list[str]:
        return [
            *(f"process {_describe(p)}" for p in self._processes()),
            *(f"descriptor {fd} -> {to}" for fd, to in sorted(descriptors() - self.descriptors)),
            *(
                f"cgroup {path}"
                for path in sorted(self.place.cgroups() - self.cgroups)
                if not self._is_ahead(path)
            ),
            *(f"{kind} {name} at {url}" for url, kind, name in sorted(self._contained())),
        ]

    def _is_ahead(self, cgroup: str) -> bool:
        """Whether a keeper that was there before has it ready for the next task, whoever's."""
        found = _AHEAD.search(cgroup)
        if found is None or found[2] not in self.pids:
            return False
        with contextlib.suppress(OSError, ValueError, IndexError):  # that keeper has ended
            words = Path(f"/proc/{found[2]}/cmdline").read_text().split("\0")
            return Path(words[words.index("--root") + 1], found[1]).is_dir()
        return False

    def _contained(self) -> set[tuple[str, str, str]]:
        return known.things() - self.contained

    def _processes(self) -> list[psutil.Process]:
        new = set(_pids()) - self.pids
        ours = {pid for pid in new if _descends(pid)} | set(_marked(new, self.place))
        ours |= new & set(_members(self.place.cgroup))
        found = []
        for pid in ours:
            with contextlib.suppress(psutil.Error):
                found.append(psutil.Process(int(pid)))
        if found:
            engines = known.own()
            found = [p for p in found if p.pid not in engines]
        there = (p for p in found if _is_there(p) and not self._is_ahead(_cgroups_of(p.pid)))
        return sorted(there, key=lambda p: p.pid)


def descriptors() -> set[tuple[int, str]]:
    """The open descriptors of this process and what they lead to."""
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            to = str(path.readlink())
            if not to.startswith((*KEPT_BY_LIBRARIES, "/proc/")):
                found.add((int(path.name), to))
    return found


def cgroups(root: Path | None) -> set[str]:
    """The cgroups below `root`."""
    if root is None:
        return set()
    return {f"{at}/{name}" for at, names, _ in os.walk(root) for name in names}


def own_cgroup(name: str) -> Path | None:
    """Move this process into a cgroup (v2) of its own; None where that is not possible.

    All that its tests start is then found there, whatever session or parent it has.
    """
    directory = own_directories().get(V2)
    return None if directory is None else _move(Path(directory) / name)


def own_old_cgroups(name: str) -> tuple[Path, ...]:
    """Likewise in those of the old hierarchies that keepers set limits in."""
    own = own_directories()
    directories = dict.fromkeys(own[each] for each in ("memory", "cpu", "pids") if each in own)
    moved = (_move(Path(directory) / name) for directory in directories)
    return tuple(path for path in moved if path is not None)


def _move(path: Path) -> Path | None:
    try:
        path.mkdir()
    except OSError:
        return None
    try:
        (path / "cgroup.procs").write_text(str(os.getpid()))
    except OSError:
        path.rmdir()
        return None
    return path


def leave_cgroup(path: Path) -> None:
    """Go back to the cgroup above, and remove this one."""
    (path.parent / "cgroup.procs").write_text(str(os.getpid()))
    path.rmdir()


def _pids() -> Iterable[str]:
    return (path.name for path in Path("/proc").iterdir() if path.name.isdigit())


def _descends(pid: str) -> bool:
    """Whether this process is its parent, or its parent's, and so on."""
    own = str(os.getpid())
    while pid not in ("0", own):
        try:
            stat = Path("/proc", pid, "stat").read_text(errors="replace")
        except OSError:  # it has ended
            return False
        pid = stat.rpartition(")")[2].split()[1]
    return pid == own


def _members(cgroup: Path | None) -> Iterable[str]:
    for path in (cgroups(cgroup) | {str(cgroup)}) if cgroup else ():
        with contextlib.suppress(OSError):
            yield from Path(path, "cgroup.procs").read_text().split()


def _cgroups_of(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cgroup").read_text()
    return ""


def _marked(pids: Iterable[str], place: Place) -> Iterable[str]:
    mark = f"{MARK}={place.mark}".encode()
    directory = str(place.directory).encode()
    for pid in pids:
        about = b""
        at = Path("/proc", pid)
        with contextlib.suppress(OSError):  # it has ended, or belongs to somebody else
            about = (at / "environ").read_bytes() + (at / "cmdline").read_bytes()
            about += bytes((at / "cwd").readlink())
        if mark in about or directory in about:
            yield pid


def _is_there(process: psutil.Process) -> bool:
    """A child that nobody waited for counts, a stranger's zombie does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE or process.ppid() == os.getpid())
    except psutil.Error:
        return False


def _describe(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        words = " ".join(process.cmdline()) or f"[{process.name()}]"
        state = ", a zombie" if process.status() == psutil.STATUS_ZOMBIE else ""
        return f"{process.pid}: {words[:160]}{state}"
    return str(process.pid)
