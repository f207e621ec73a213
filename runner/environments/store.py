"""Environments on disk: found by what was asked for, held while a task uses them, and the least
recently used removed beyond a budget.

DIRECTORY/trees/TENANT/NAME       an environment; closed to writers, and passable for each user who
                                  knows the name, which has a random part
DIRECTORY/asked/KEY               what was asked for: the lock that it came to
DIRECTORY/resolved/KEY            a lock: the environment that has it
DIRECTORY/about/NAME              an environment: how large it is and what was in it; used last
                                  when its file was touched last
DIRECTORY/holds/NAME@HOLDER@MARK  who uses it; locked by the daemon that started that, if it lives,
                                  and that one's alone: MARK is random
DIRECTORY/staging/*               being made, and locked by whom; or to be removed
DIRECTORY/lock                    had for moments, by whoever changes any of this

Every call may be made by several processes at once. Records are written aside, synced and renamed,
and an environment is on the disk before its record is: what is there is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.environments import tree
from runner.environments.flocks import locked
from runner.failpoints import failpoint

_VERSION = 1
_OPEN, _OWN, _CLOSED = 0o711, 0o700, 0o555
_HELD_BY = "@"
_FORMS: dict[str, dict[str, type]] = {
    "asked": {"lock": str, "resolved": str},
    "resolved": {"name": str},
    "about": {"path": str, "resolved": str, "size": int, "digest": str},
}
"""What each kind of record has, beside its version."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An environment that is there: its name, and where its files are."""

    name: str
    path: Path


class Store:
    """See the module. `budget` is bytes; `note` is told what an operator may want to know."""

    def __init__(self, directory: Path, budget: int, note: Callable[..., None]) -> None:
        self.directory = directory
        self._budget = budget
        self._note = note
        self._holds: dict[str, tuple[Path, int]] = {}  # by holder: the file, and its lock
        self._released: deque[tuple[Path, int]] = deque()  # no longer held, and still to be removed
        self._sound: set[str] = set()  # environments that were looked at since the start
        self._made = False
        self._book = threading.Lock()  # of `_holds`; nobody waits for anything who has it
        self._turn = threading.Lock()  # among threads here, for the lock of the directory

    # --- finding ----------------------------------------------------------------------------

    def lock_of(self, asked: str) -> str | None:
        """The lock that this came to before; None where it never did. Raises OSError."""
        record = self._read("asked", asked)
        return None if record is None else str(record["lock"])

    def note_lock(self, asked: str, lock: str, resolved: str) -> None:
        """Remember that, and the key of its environment. Raises OSError."""
        with self._locked():
            self._write("asked", asked, {"lock": lock, "resolved": resolved})

    def forget_lock(self, asked: str) -> None:
        """Remember it no more. Raises OSError."""
        with self._locked():
            self._record("asked", asked).unlink(missing_ok=True)

    def hold(self, resolved: str, holder: str, ends: Path, *, closed: bool = True) -> Kept | None:
        """The environment of that key, which from now on is `holder`'s; None where there is none,
        or where it is not what was made. `ends` is the directory of the attempt that uses it, as a
        keeper has it. Not `closed`: tasks can change it, so that it is looked at each time. Raises
        OSError."""
        with self._locked():
            record = self._read("resolved", resolved)
            about = None if record is None else self._read("about", record["name"])
            if record is None or about is None:
                return None
            kept = Kept(record["name"], self.directory / about["path"])
            self._take_hold(kept, holder, ends)
            os.utime(self._record("about", kept.name))
        if closed and kept.name in self._sound:
            return kept
        if self._is_sound(kept, about):  # which may take a while: others are not to wait for it
            self._sound.add(kept.name)
            return kept
        with self._locked():
            self.release(holder)
            if self._read("resolved", resolved) == record:
                self._record("resolved", resolved).unlink()
        return None

    def _is_sound(self, kept: Kept, about: dict[str, Any]) -> bool:
        try:
            same = bool(tree.look(str(kept.path)).digest == about["digest"])
        except OSError:
            same = False
        if not same:
            self._note("environment changed", environment=kept.name, path=str(kept.path))
        return same

    def _take_hold(self, kept: Kept, holder: str, ends: Path) -> None:
        self.release(holder)
        mark = secrets.token_hex(8)
        path = self._record("holds", f"{kept.name}{_HELD_BY}{holder}{_HELD_BY}{mark}")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # by its own name nobody else's; whoever looks at it has the lock of the directory
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(file, 0)
            os.write(file, json.dumps({"ends": str(ends)}).encode())
        except OSError:
            os.close(file)
            raise
        with self._book:
            self._holds[holder] = (path, file)

    def release(self, holder: str) -> None:
        """It uses none any more, once somebody sweeps. Waits for nothing and touches no file. Twice
        is fine."""
        with self._book:
            if hold := self._holds.pop(holder, None):
                self._released.append(hold)

    def sweep(self) -> None:
        """Remove what was released. Who changes anything here does so first."""
        while True:
            try:
                path, file = self._released.popleft()
            except IndexError:
                return
            with contextlib.suppress(OSError):
                path.unlink()
            os.close(file)

    # --- making -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """An empty directory to make an environment in. What is left there at the end, or by a
        process that was killed, goes. Raises OSError."""
        with self._locked():
            path = self.directory / "staging" / secrets.token_hex(8)
            path.mkdir(mode=_OWN)
            file = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield path
        finally:
            os.close(file)
            tree.remove(str(path))

    def keep(
        self, resolved: str, tenant: str, made: Path, content: tree.Content, holder: str
    ) -> None:
        """Let what was made in `staging` be the environment of that key, and `holder`'s. Raises
        OSError."""
        with self._locked():
            name = f"{resolved[:16]}-{secrets.token_hex(8)}"
            place = self.directory / "trees" / tenant
            place.mkdir(mode=_OPEN, exist_ok=True)
            place.chmod(_OPEN)
            about = {"path": f"trees/{tenant}/{name}", "resolved": resolved, **content._asdict()}
            self._write("about", name, about)
            made.chmod(_OWN)  # who moves a directory must be able to write to it
            made.rename(place / name)
            (place / name).chmod(_CLOSED)
            _sync(place)
            failpoint("environment_placed")
            self._write("resolved", resolved, {"name": name})
            self._sound.add(name)
            self._take_hold(Kept(name, place / name), holder, made)

    def make_room(self) -> None:
        """Remove what is no environment any more, and of those that nobody uses the least
        recently used, until the others are within the budget; and what is left of builds that were
        cut off. Raises OSError."""
        with self._locked():
            held = set(self._held())
            known = sorted(self._known(held))
            total = sum(size for _, size, _ in known)
            for _, size, name in known:
                about = self._read("about", name) or {}
                current = self._read("resolved", about.get("resolved", "")) or {}
                if name in held or (total <= self._budget and current.get("name") == name):
                    continue
                total -= size
                self._retire(name, about, current)
            for path in (self.directory / "trees").glob("*/*"):
                if not self._record("about", path.name).exists():
                    path.chmod(_OWN)
                    path.rename(self.directory / "staging" / path.name)
            left = [path for path in (self.directory / "staging").iterdir() if _nobodys(path)]
        for path in left:
            tree.remove(str(path))

    def _retire(self, name: str, about: dict[str, Any], current: dict[str, Any]) -> None:
        """Its record goes first: without one, it is none."""
        if current.get("name") == name:
            self._record("resolved", about["resolved"]).unlink()
            for record in (self.directory / "asked").iterdir():
                told = self._read("asked", record.name) or {}
                if told.get("resolved") == about["resolved"]:
                    record.unlink()
        self._record("about", name).unlink()
        self._sound.discard(name)
        self._note("environment removed", environment=name, size=about.get("size", 0))

    def _known(self, held: set[str]) -> Iterator[tuple[int, int, str]]:
        """When each was used last, its size and its name; those in use, last."""
        for entry in os.scandir(self.directory / "about"):
            about = self._read("about", entry.name)
            if about is None or not (self.directory / about["path"]).exists():
                Path(entry.path).unlink()  # the process that made it was killed before
            else:
                used = entry.stat().st_mtime_ns
                yield (used if entry.name not in held else 1 << 63), about["size"], entry.name

    def _held(self) -> Iterator[str]:
        """Environments that somebody uses. A hold whose daemon is gone counts until its attempt
        has ended, or is not there."""
        with self._book:
            mine = {path for path, _ in self._holds.values()}
        for path in (self.directory / "holds").iterdir():
            if path in mine or not _ended(path):
                yield path.name.partition(_HELD_BY)[0]
            else:
                path.unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the locks of what is held: the attempts run on, and their ends are told by
        their keeper."""
        self.sweep()
        with self._book:
            for _, file in self._holds.values():
                os.close(file)
            self._holds.clear()

    # --- records ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._turn:
            if not self._made:
                self.make()
            with locked(self.directory / "lock"):
                self.sweep()
                yield

    def make(self) -> None:
        """Make its directories. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(_OPEN)
        for name in ("asked", "resolved", "about", "holds", "staging", "builds", "locks"):
            (self.directory / name).mkdir(mode=_OWN, exist_ok=True)
        (self.directory / "trees").mkdir(mode=_OPEN, exist_ok=True)
        (self.directory / "trees").chmod(_OPEN)
        self._made = True

    def _record(self, kind: str, name: str) -> Path:
        return self.directory / kind / name

    def _read(self, kind: str, name: str) -> dict[str, Any] | None:
        """None where there is none that this version can read: then it is made anew."""
        try:
            record = json.loads(self._record(kind, name).read_bytes())
        except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
            return None
        if not isinstance(record, dict) or record.get("version") != _VERSION:
            return None
        whole = all(type(record.get(key)) is form for key, form in _FORMS[kind].items())
        return record if whole else None

    def _write(self, kind: str, name: str, record: dict[str, Any]) -> None:
        aside = self.directory / "staging" / f"{name}.record"
        with aside.open("wb") as file:
            file.write(json.dumps({"version": _VERSION, **record}).encode())
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self._record(kind, name))
        _sync(self.directory / kind)


def _ended(hold: Path) -> bool:
    """Whether nobody has the hold's lock, and its attempt has ended, as its keeper has recorded,
    or is not there."""
    try:
        file = os.open(hold, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        ends = json.loads(os.read(file, 8192))["ends"]
    except BlockingIOError:
        return False
    except (ValueError, KeyError, TypeError):  # it was cut off before anything was started
        return True
    finally:
        os.close(file)
    return not os.path.lexists(f"{ends}/launch.json") or os.path.lexists(f"{ends}/exit.json")


def _nobodys(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(file)
    return True


def _sync(directory: Path) -> None:
    file = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
