"""One cgroup v2 for each attempt, without controllers: by it all of an attempt is found, killed
and proven gone, also whoever called setsid. Limits are not set here.

The base lies below the keeper's own cgroup, `env-runner.<hash of the root>`, so that two
keepers never meet. Where no such group can be had, `tracing.py` does what can be done.
"""

from __future__ import annotations

import binascii
import contextlib
import errno
import os
import signal

from runner.keeper import syscalls, tracing


class Unavailable(Exception):
    """There can be no cgroups here; the text says why."""


def _own_directory() -> str:
    """Where the cgroup v2 of this process is mounted. Raises Unavailable."""
    with open("/proc/self/cgroup") as file:
        own = next((line[3:].rstrip("\n") for line in file if line.startswith("0::")), None)
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields, _, rest = line.partition(" - ")
            if rest.startswith("cgroup2 ") and own is not None:
                root, point = fields.split()[3:5]
                if own == root or own.startswith(root.rstrip("/") + "/"):
                    return os.path.normpath(f"{point}/{own[len(root.rstrip('/')) :]}")
    raise Unavailable("no cgroup v2 is mounted that holds this process")


class Cgroups:
    """The groups of one keeper. `path` is the base; a group is known by its handle name."""

    def __init__(self, root: str) -> None:
        """Make the base and try it out. Raises Unavailable."""
        number = binascii.crc32(os.path.realpath(root).encode())
        self.path = f"{_own_directory()}/env-runner.{number:08x}"
        try:
            if not os.path.isdir(self.path):
                os.mkdir(self.path)
            self._try()
        except OSError as error:
            with contextlib.suppress(OSError):
                os.rmdir(self.path)
            raise Unavailable(f"{self.path}: {error.strerror}") from error

    def _try(self) -> None:
        group = self.create("probe")
        try:
            child = syscalls.clone_into(group)
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        finally:
            os.close(group)
            self.remove("probe")

    def create(self, name: str) -> int:
        """A new group (or the empty one of that name), as an open directory."""
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{self.path}/{name}")
        return os.open(f"{self.path}/{name}", os.O_RDONLY | os.O_DIRECTORY)

    def names(self) -> list[str]:
        """The groups that are there."""
        with os.scandir(self.path) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def close(self) -> None:
        """Remove the base, where nothing is left in it."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)

    def group(self, name: str) -> Group:
        """The group of that name, there or not."""
        return Group(f"{self.path}/{name}")

    def remove(self, name: str) -> None:
        """See `Group.remove`."""
        self.group(name).remove()


class Group:
    """One group by its path. What is gone is empty."""

    def __init__(self, path: str) -> None:
        self.path = path

    def populated(self) -> bool:
        """Whether a living process is in it or below it; zombies are none."""
        try:
            return b"populated 1" in tracing.read(f"{self.path}/cgroup.events")
        except OSError:
            return False

    def processes(self) -> list[int]:
        """The pids in it and below it."""
        found: list[int] = []
        for directory, _, _ in os.walk(self.path):
            with contextlib.suppress(OSError):
                found += map(int, tracing.read(f"{directory}/cgroup.procs").split())
        return found

    def kill(self) -> None:
        """SIGKILL to all of it, at once where the kernel can (Linux 5.14)."""
        try:
            with open(f"{self.path}/cgroup.kill", "w") as file:
                file.write("1")
        except OSError as error:
            if error.errno == errno.ENODEV or not os.path.isdir(self.path):
                return  # it went in between
            for pid in self.processes():
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)

    def cpu_seconds(self) -> float | None:
        """What all of its processes took, None where the kernel does not say."""
        try:
            return int(tracing.read(f"{self.path}/cpu.stat").split()[1]) / 1e6
        except (OSError, ValueError, IndexError):
            return None

    def remove(self) -> None:
        """Remove it with the groups that a task made below it; fine where it is gone."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)  # as most are: with none below
            return
        for directory, _, _ in os.walk(self.path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
