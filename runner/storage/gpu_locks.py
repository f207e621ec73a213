"""The guard of the host's GPUs: a lock file for each in a directory that all runners share.

The lock (flock) is held while the runner lives; what is written in the file says who has the
device when it does not, since tasks outlive their daemon. A lease in a file counts in the boot
that it was made in, for as long as anything of its attempt runs, and for as long as somebody may
come back for it: a daemon while the state directory is there that it names, the keeper of an
`env-runner run` that was killed. Files are never removed: whoever had one open would lock what
nobody else sees.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from runner.domain.refusal import quote
from runner.storage import gpu_leftovers

VERSION = 1

SETTLING = 10.0
"""Seconds after which what a command asked for before it was killed has begun, or never will: its
keeper is gone by then, and an engine has answered."""

_LARGEST = 1 << 15  # bytes of a lease, whatever path is in it; what is larger is none
_SUFFIX, _RESET = ".lock", ".reset"
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # whatever somebody has put there
_NO_LOCK = frozenset({errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.ENXIO})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,128}")


@dataclass(frozen=True, slots=True)
class _Lease:
    """What a file says. `runner` is the journal's id, `state` the runner's state directory.
    `container` is the id of the attempt's, where it has one. `alone`: the runner is a command's,
    which nobody starts again. `written` is seconds since the boot."""

    boot_id: str
    runner: str
    state: str
    attempt: str
    container: str
    pid: int
    alone: bool
    written: float
    version: int = VERSION


_UNTOLD: dict[str, str | int | float | bool] = {
    **dict.fromkeys(("boot_id", "runner", "state", "attempt", "container"), ""),
    "pid": 0,
    "alone": False,
    "written": 0.0,
}
_NEEDED = ("boot_id", "runner", "state")


class GpuLocks:
    """See `runner.ports.Guard`. `runner` is the id of the journal in `state`; a command's, which
    goes with this process, is `alone`."""

    def __init__(
        self, directory: Path, *, boot_id: str, runner: str, state: Path, alone: bool = False
    ) -> None:
        self.directory = directory
        self._boot_id, self._runner, self._state = boot_id, runner, state
        self._alone = alone
        self._held: dict[str, int] = {}
        self._over: dict[str, _Lease] = {}  # of which nothing ran when it was last looked for

    def take(self, uuid: str, attempt: str) -> str:
        """See Guard."""
        held = self._held.get(uuid)
        try:
            descriptor = self._open(uuid) if held is None else held
        except OSError as error:
            return self._unusable(uuid, error)
        try:
            if held is None and (why := self._lock(uuid, descriptor)):
                return why
            before = _parse(os.pread(descriptor, _LARGEST, 0))
            same = before is not None and self._is_own(before) and before.attempt == attempt
            self._write(descriptor, attempt, before.container if before and same else "")
            self._held[uuid] = descriptor
        except OSError as error:
            return self._unusable(uuid, error)
        finally:
            if uuid not in self._held:  # nobody would ever close it, and the lock is with it
                os.close(descriptor)
        return ""

    def launching(self, uuid: str, container: str) -> None:
        """See Guard."""
        descriptor = self._held.get(uuid)
        if descriptor is None:
            return
        with contextlib.suppress(OSError):
            if lease := _parse(os.pread(descriptor, _LARGEST, 0)):
                self._write(descriptor, lease.attempt, container)

    def other(self, uuid: str) -> str:
        """See Guard."""
        if uuid in self._held:
            return ""
        try:
            lease = _read(self._path(uuid))
        except FileNotFoundError:
            lease = None
        except OSError as error:
            return self._unusable(uuid, error)
        self._over.pop(uuid, None)
        return self._told(uuid, lease) or self._shut(uuid)

    async def others(self, uuids: Collection[str]) -> dict[str, str]:
        """See Guard. In a thread: what runs on is looked for in all groups and processes."""
        found = await asyncio.to_thread(lambda: [(uuid, self.other(uuid)) for uuid in uuids])
        return {uuid: why for uuid, why in found if why}

    def left(self) -> list[str]:
        """See Guard. What cannot be read is no lease of this runner's."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
                uuid = path.name.removesuffix(_SUFFIX)
                with contextlib.suppress(OSError):
                    lease = _read(path)
                    if lease and uuid not in self._held and self._is_own(lease):
                        found.append(uuid)
        return found

    def give_back(self, uuid: str) -> None:
        """See Guard."""
        with contextlib.suppress(OSError):  # then it stays written down, for whoever comes next
            if uuid not in self._held and (uuid not in self.left() or self.take(uuid, "")):
                return
            os.ftruncate(self._held[uuid], 0)
        if (descriptor := self._held.pop(uuid, None)) is not None:
            os.close(descriptor)

    def reset(self, uuid: str) -> float:
        """See Guard. It is said by a file beside the lock, and by when that was last touched: no
        later than when the kernel saw it change, whatever time somebody gave it."""
        try:
            about = self._path(uuid, _RESET).lstat()
        except OSError:
            return 0.0
        return min(about.st_mtime, about.st_ctime) if stat.S_ISREG(about.st_mode) else 0.0

    def close(self) -> None:
        """See Guard."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _open(self, uuid: str) -> int:
        """The file, made where it is not there. Raises OSError."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(self._path(uuid), os.O_RDWR | os.O_CREAT | _SAFELY, 0o660)
        try:
            about = _regular(descriptor)
            if about.st_uid == os.geteuid():
                os.fchmod(descriptor, 0o660)
                if about.st_uid == 0:
                    # the directory may be that of a daemon without privilege, who needs it too
                    whose = self.directory.stat()
                    os.fchown(descriptor, whose.st_uid, whose.st_gid)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _lock(self, uuid: str, descriptor: int) -> str:
        """Lock it, unless it is leased to another runner. Raises OSError."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lease = _parse(os.pread(descriptor, _LARGEST, 0))
            return f"another runner of this host{_pid(lease)} has it"
        return self._told(uuid, _parse(os.pread(descriptor, _LARGEST, 0)))

    def _told(self, uuid: str, lease: _Lease | None) -> str:
        """Who else has the device by this lease, if that still counts."""
        if lease is None or lease.boot_id not in {self._boot_id, ""} or self._is_own(lease):
            return ""
        if lease.version != VERSION:
            return f"a runner of another version of env-runner{_pid(lease)} has it"
        who = f"another runner of this host has it for attempt {quote(lease.attempt)}"
        if _is_awaited(lease):
            return f"{who}; that runner's state is in {quote(lease.state)}"
        if self._over.get(uuid) == lease:  # it cannot begin again, and to look takes its time
            return ""
        where = gpu_leftovers.found(lease.attempt, lease.container, lease.state)
        if not where:
            self._over[uuid] = lease
        plain = where.encode(errors="replace").decode()  # a group is called what somebody likes
        return f"{who}, which runs on: {plain}" if where else ""

    def _is_own(self, lease: _Lease) -> bool:
        """Whether an earlier life of this runner wrote it: whose state directory is this one's, of
        which there is one at a time, or whose journal."""
        if lease.boot_id != self._boot_id:
            return False
        return lease.runner == self._runner or lease.state == str(self._state.absolute())

    def _write(self, descriptor: int, attempt: str, container: str) -> None:
        """One write over all that was there, so that no moment has neither; the blanks go later.
        Not synced: after a reboot it is void."""
        lease = {
            "version": VERSION,
            "boot_id": self._boot_id,
            "runner": self._runner,
            "state": str(self._state.absolute()),
            "attempt": attempt,
            "container": container,
            "pid": os.getpid(),
            "alone": self._alone,
            "written": _now(),
        }
        data = json.dumps(lease).encode()
        over = min(os.fstat(descriptor).st_size, _LARGEST)  # somebody may have made it grow
        if os.pwrite(descriptor, data.ljust(over), 0) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(descriptor, len(data))

    def _path(self, uuid: str, suffix: str = _SUFFIX) -> Path:
        plain = _PLAIN.fullmatch(uuid)
        name = uuid if plain else hashlib.sha256(uuid.encode()).hexdigest()
        return self.directory / f"{name}{suffix}"

    def _shut(self, uuid: str) -> str:
        """Why this process could not lock it, by what may be written; empty where it could."""
        path = self._path(uuid)
        place = next((each for each in (path, *path.parents) if os.path.lexists(each)), path)
        if os.access(place, os.R_OK | os.W_OK if place == path else os.W_OK | os.X_OK):
            return ""
        with contextlib.suppress(OSError):
            if os.statvfs(place).f_flag & os.ST_RDONLY:
                return self._unusable(uuid, OSError(errno.EROFS, os.strerror(errno.EROFS)))
        return self._unusable(uuid, OSError(errno.EACCES, os.strerror(errno.EACCES)))

    def _unusable(self, uuid: str, error: OSError) -> str:
        problem = error.strerror or str(error)
        if error.errno in _NO_LOCK:
            return f"{self._path(uuid)} cannot be its lock ({problem}): remove what is there"
        if error.errno in _NO_ROOM:
            return f"its lock in {self.directory} cannot be written ({problem}): make room there"
        more = " (under systemd: ReadWritePaths=)" if error.errno == errno.EROFS else ""
        return (
            f"its lock in {self.directory} cannot be used ({problem}): let this user write "
            f"there{more}, or name another directory for all runners of this host "
            f"(gpus.lock_directory)"
        )


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _is_awaited(lease: _Lease) -> bool:
    """Whether somebody may come back for it, or something of it may yet begin."""
    if not lease.alone:
        return _is_there(lease)
    return 0 <= _now() - lease.written < SETTLING or _has_keeper(lease)


def _has_keeper(lease: _Lease) -> bool:
    """Whether the command's keeper is there still, which ends its task and then removes all of
    it. What may not be looked at speaks for it."""
    try:
        lock = os.open(Path(lease.state) / "keeper" / "lock", os.O_RDONLY | _SAFELY)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # that is no path
        return False
    except OSError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def _is_there(lease: _Lease) -> bool:
    try:
        return Path(lease.state).exists()
    except OSError:  # it may not be looked at
        return True


def _read(path: Path) -> _Lease | None:
    """Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | _SAFELY)
    try:
        _regular(descriptor)
        return _parse(os.read(descriptor, _LARGEST))
    finally:
        os.close(descriptor)


def _regular(descriptor: int) -> os.stat_result:
    """Raises OSError for what is no plain file of one name: in a directory of somebody else's it
    may lead anywhere. And for what is too large to be a lease: to read it, to write over it or to
    cut it short takes as long as somebody likes."""
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
        raise OSError(errno.EINVAL, "it is no plain file")
    if about.st_size > _LARGEST:
        raise OSError(errno.EFBIG, f"it is larger than {_LARGEST} bytes")
    return about


def _parse(data: bytes) -> _Lease | None:
    """None for no lease, and for what is none: it is written before anything is launched. Of one
    in another version only what is understood. Never raises: anybody may have written it."""
    try:
        found = json.loads(data)
        version = found["version"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(version) is not int:
        return None
    fields = {key: found.get(key, untold) for key, untold in _UNTOLD.items()}
    faulty = {key: untold for key, untold in _UNTOLD.items() if not _fits(fields[key], untold)}
    if version == VERSION and (faulty or not all(fields[key] for key in _NEEDED)):
        return None
    return _Lease(**{**fields, **faulty}, version=version)


def _fits(value: object, untold: object) -> bool:
    """Whether it is of that kind; numbers such as a process or a time since the boot can have."""
    if isinstance(value, int | float) and not 0 <= value < 1 << 32:
        return False
    if isinstance(untold, float):
        return type(value) in {int, float}
    return type(value) is type(untold)


def _pid(lease: _Lease | None) -> str:
    return f" (pid {lease.pid})" if lease is not None and lease.pid else ""
