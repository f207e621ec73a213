"""The guard of the host's GPUs: a lock file for each in a directory that all runners share.

The lock (flock) is held while the runner lives; what is written in the file says who has the
device when it does not, since tasks outlive their daemon. A lease in a file counts in the boot
that it was made in, for as long as anything of its attempt runs, and for as long as somebody may
come back for it: a daemon while the state directory is there that it names, the keeper of an
`env-runner run` that was killed. Files are never removed: whoever had one open would lock what
nobody else sees. Others may do so all the same, or write over a lease: what is held is compared
with what is there. Not here: what a lease is (`gpu_lease.py`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

from runner.domain.refusal import quote
from runner.ports import Amiss
from runner.storage import gpu_leftovers
from runner.storage.gpu_lease import (
    LARGEST,
    SAFELY,
    VERSION,
    Lease,
    is_awaited,
    now,
    parse,
    pid_of,
    read,
    regular,
)
from runner.storage.gpu_searches import PATIENCE, Searches
from runner.storage.gpu_writers import Writers

_SUFFIX, _RESET = ".lock", ".reset"
_NO_LOCK = frozenset({errno.EINVAL, errno.EFBIG, errno.ELOOP, errno.EISDIR, errno.ENXIO})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_PLAIN = re.compile(r"[A-Za-z0-9-]{1,128}")


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
        self._leases: dict[str, Lease] = {}  # as written down for those that are held
        self._over: dict[str, Lease] = {}  # of which nothing ran when it was last looked for
        self._searches = Searches(self.other)

    def take(self, uuid: str, attempt: str) -> str:
        """See Guard."""
        held = self._held.get(uuid)
        if why := self._exposed():
            return why
        try:
            descriptor = self._open(uuid) if held is None else held
        except OSError as error:
            return self._unusable(uuid, error)
        try:
            if held is None and (why := self._lock(uuid, descriptor)):
                return why
            before = parse(os.pread(descriptor, LARGEST, 0))
            same = before is not None and self._is_own(before) and before.attempt == attempt
            lease = self._lease(attempt, before.container if before and same else "")
            _write(descriptor, lease)
            self._held[uuid], self._leases[uuid] = descriptor, lease
        except OSError as error:
            return self._unusable(uuid, error)
        finally:
            if uuid not in self._held:  # nobody would ever close it, and the lock is with it
                os.close(descriptor)
        return ""

    def launching(self, uuid: str, container: str) -> None:
        """See Guard."""
        if uuid not in self._held:
            return
        self._leases[uuid] = replace(self._leases[uuid], container=container)
        with contextlib.suppress(OSError):  # then it is found to be amiss
            _write(self._held[uuid], self._leases[uuid])

    def amiss(self, only: str = "") -> list[Amiss]:
        """See Guard."""
        held = [uuid for uuid in self._held if only in {"", uuid}]
        return [found for uuid in held if (found := self._amiss(uuid))]

    def _amiss(self, uuid: str) -> Amiss | None:
        descriptor, lease = self._held[uuid], self._leases[uuid]
        what = f"its lease in {self._path(uuid)} is not what was written there"
        try:
            if _is_at(self._path(uuid), descriptor):
                if parse(os.pread(descriptor, LARGEST, 0)) == lease:
                    return None
                _write(descriptor, lease)
            else:
                what = f"its lock {self._path(uuid)} was removed"
                if why := self._take_again(uuid, lease):
                    return Amiss(uuid, what, f"{what}, and {why}")
        except OSError as error:
            return Amiss(uuid, what, f"{what}, and {self._unusable(uuid, error)}")
        return Amiss(uuid, what)

    def _take_again(self, uuid: str, lease: Lease) -> str:
        """Lock what stands in its place now; why not, where somebody has. Raises OSError."""
        descriptor = self._open(uuid)
        try:
            if why := self._lock(uuid, descriptor):
                return why
            _write(descriptor, lease)
            self._held[uuid], descriptor = descriptor, self._held[uuid]
        finally:
            os.close(descriptor)
        return ""

    def other(self, uuid: str) -> str:
        """See Guard."""
        if uuid in self._held:
            return ""
        try:
            lease, writers = read(self._path(uuid))
        except FileNotFoundError:
            return self._exposed() or self._shut(uuid)
        except OSError as error:
            return self._unusable(uuid, error)
        told = self._told(uuid, lease, writers) or self._exposed() or self._shut(uuid)
        return told or self._uncounted(uuid, writers)

    async def others(self, uuids: Collection[str]) -> dict[str, str]:
        """See Guard. In threads: what runs on is looked for in all groups and processes."""
        found = await self._searches.of(uuids, self._unknown)
        return {uuid: why for uuid, why in found.items() if why}

    def _unknown(self, uuid: str) -> str:
        return (
            f"whether another runner of this host has it could not be found out within "
            f"{PATIENCE:g} s: the state directory that is named in {self._path(uuid)}, or a "
            f"process of this host, cannot be read to its end; it is taken to be in use"
        )

    def left(self) -> list[str]:
        """See Guard. What cannot be read is no lease of this runner's."""
        found = []
        with contextlib.suppress(OSError):
            for path in sorted(self.directory.glob(f"*{_SUFFIX}")):
                uuid = path.name.removesuffix(_SUFFIX)
                if self._is_left(uuid, path):
                    found.append(uuid)
        return found

    def _is_left(self, uuid: str, path: Path) -> bool:
        with contextlib.suppress(OSError):
            lease, _ = read(path)
            return lease is not None and uuid not in self._held and self._is_own(lease)
        return False

    def give_back(self, uuid: str) -> None:
        """See Guard."""
        with contextlib.suppress(OSError):  # then it stays written down, for whoever comes next
            if uuid not in self._held and (
                not self._is_left(uuid, self._path(uuid)) or self.take(uuid, "")
            ):
                return
            os.ftruncate(self._held[uuid], 0)
        if (descriptor := self._held.pop(uuid, None)) is not None:
            del self._leases[uuid]
            os.close(descriptor)

    def reset(self, uuid: str) -> float:
        """See Guard. It is said by a file beside the lock, and by when that was last touched: no
        later than when the kernel saw it change, whatever time somebody gave it. Who may say so
        owns the file: root, this user, or whoever owns the directory; others may only write there,
        so as to lock devices."""
        try:
            about = self._path(uuid, _RESET).lstat()
            trusted = {0, os.geteuid(), self.directory.stat().st_uid}
        except OSError:
            return 0.0
        if about.st_uid not in trusted:
            return 0.0
        return min(about.st_mtime, about.st_ctime) if stat.S_ISREG(about.st_mode) else 0.0

    def close(self) -> None:
        """See Guard."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()
        self._leases.clear()

    def _open(self, uuid: str) -> int:
        """The file, made where it is not there. Raises OSError."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        place, path = self.directory.stat(), self._path(uuid)
        try:
            # asked to make it, the kernel refuses what is another's in a sticky directory
            descriptor = os.open(path, os.O_RDWR | SAFELY)
        except FileNotFoundError:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | SAFELY, 0o660)
        try:
            about = regular(descriptor)
            if about.st_uid == os.geteuid():
                everybody = place.st_mode & stat.S_IWOTH  # may lock there, and so has to here
                os.fchmod(descriptor, 0o666 if everybody else 0o660)
                if about.st_uid == 0:
                    # the directory may be that of a daemon without privilege, who needs it too
                    os.fchown(descriptor, place.st_uid, place.st_gid)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor

    def _lock(self, uuid: str, descriptor: int) -> str:
        """Lock it, unless it is leased to another runner. Raises OSError."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lease = parse(os.pread(descriptor, LARGEST, 0))
            return f"another runner of this host{pid_of(lease)} has it"
        return self._told(uuid, parse(os.pread(descriptor, LARGEST, 0)), None)

    def _told(self, uuid: str, lease: Lease | None, writers: Writers | None) -> str:
        """Who else has the device by this lease, if that still counts. To look for the state of a
        runner, and for what runs of a dead one's attempt, takes its time; without the `writers` in
        the lock nothing is looked for, and it counts unless that was done."""
        if lease is None or lease.boot_id not in {self._boot_id, ""} or self._is_own(lease):
            return ""
        if lease.version != VERSION:
            return f"a runner of another version of env-runner{pid_of(lease)} has it"
        who = f"another runner of this host has it for attempt {quote(lease.attempt)}"
        if writers is None:
            over = self._over.get(uuid) == lease  # it cannot begin again
            return "" if over else f"{who}; whether that runs on is being looked for"
        if is_awaited(lease, writers):
            return f"{who}; that runner's state is in {quote(lease.state)}"
        where = gpu_leftovers.found(lease.attempt, lease.container, lease.state, writers)
        if not where:
            self._over[uuid] = lease
        plain = where.encode(errors="replace").decode()  # a group is called what somebody likes
        return f"{who}, which runs on: {plain}" if where else ""

    def _is_own(self, lease: Lease) -> bool:
        """Whether an earlier life of this runner wrote it: whose state directory is this one's, of
        which there is one at a time, or whose journal."""
        if lease.boot_id != self._boot_id:
            return False
        return lease.runner == self._runner or lease.state == str(self._state.absolute())

    def _lease(self, attempt: str, container: str) -> Lease:
        return Lease(
            boot_id=self._boot_id,
            runner=self._runner,
            state=str(self._state.absolute()),
            attempt=attempt,
            container=container,
            pid=os.getpid(),
            alone=self._alone,
            written=now(),
        )

    def _path(self, uuid: str, suffix: str = _SUFFIX) -> Path:
        plain = _PLAIN.fullmatch(uuid)
        name = uuid if plain else hashlib.sha256(uuid.encode()).hexdigest()
        return self.directory / f"{name}{suffix}"

    def _exposed(self) -> str:
        """Why no lock in the directory keeps anybody off; empty where they do."""
        with contextlib.suppress(OSError):
            mode = self.directory.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                return (
                    f"its lock in {self.directory} cannot be relied upon: any user may remove "
                    f"it: chmod +t {self.directory}"
                )
        return ""

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

    def _uncounted(self, uuid: str, writers: Writers) -> str:
        """Why a lease of this runner would not count for others once it does not run."""
        try:
            counts = writers.own(self._state)
        except OSError:  # it is made with the first start, by this user
            counts = writers.has(os.geteuid())
        if counts:
            return ""
        return (
            f"its lock {self._path(uuid)} would not keep others off while this runner is "
            f"restarted: the owner of {self._state}, or of a link to it, is not known to be "
            f"root, the owner of that file or in its group: add that user to the group "
            f"(usermod -aG)"
        )

    def _unusable(self, uuid: str, error: OSError) -> str:
        problem = error.strerror or str(error)
        if error.errno in _NO_LOCK:
            return f"{self._path(uuid)} cannot be its lock ({problem}): remove what is there"
        if error.errno in _NO_ROOM:
            return f"its lock in {self.directory} cannot be written ({problem}): make room there"
        if error.errno == errno.EACCES and not self.directory.is_dir():
            return (
                f"its lock cannot be made: {self.directory}, where the runners of this host lock "
                f"GPUs, is not there, and this user may not make it ({problem}): have root make it "
                f"for all of them (docs/gpu.md), or name another for all of them "
                f"(gpus.lock_directory)"
            )
        more = " (under systemd: ReadWritePaths=)" if error.errno == errno.EROFS else ""
        return (
            f"its lock in {self.directory} cannot be used ({problem}): let this user write "
            f"there{more}, or name another directory for all runners of this host "
            f"(gpus.lock_directory)"
        )


def _write(descriptor: int, lease: Lease) -> None:
    """One write over all that was there, so that no moment has neither; the blanks go later. Not
    synced: after a reboot it is void. Raises OSError."""
    data = json.dumps(asdict(lease)).encode()
    over = min(os.fstat(descriptor).st_size, LARGEST)  # somebody may have made it grow
    if os.pwrite(descriptor, data.ljust(over), 0) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.ftruncate(descriptor, len(data))


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the path leads to that file. Raises OSError."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
