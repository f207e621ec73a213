"""The directory of one attempt on this host: made before its container, removed after it.

`workspace` and `task` are what the container sees and may write to; whatever it leaves there is
data, and looked at by descriptors that follow nothing. Not here: the records (`records.py`).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from runner.keeper import files
from runner.ports import Excerpt, Found

_SEEN = ("workspace", "task")


class Places:
    """The directories of all attempts, below `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, name: str) -> Path:
        """The attempt's own."""
        return self.root / name

    def output(self, name: str) -> Path:
        """Where its output goes."""
        return self.root / name / "output"

    def task(self, name: str) -> Path:
        """The task's own directory, in which it reports."""
        return self.root / name / "task"

    def make(
        self,
        name: str,
        owner: tuple[int, int],
        context: bytes | None,
        given: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        """Make it anew, or as it was. `owner` (uid, gid) is whom the container runs as, on this
        host. Without a `context` its file says `{}`; `given` are more files beside it. Raises
        OSError."""
        home = self.of(name)
        self.root.mkdir(parents=True, exist_ok=True)
        home.mkdir(exist_ok=True)
        for place in (self.root, home):  # whatever the umask: an engine may be another user's
            place.chmod(0o711)
        self.output(name).mkdir(mode=0o750, exist_ok=True)
        for each in _SEEN:
            (home / each).mkdir(mode=0o700, exist_ok=True)
        told = b"{}" if context is None else context
        for file, data in {"context.json": told, **given}.items():
            _write(home / "task" / file, data, owner)
        for each in _SEEN:
            if owner != (os.geteuid(), os.getegid()):
                os.chown(home / each, *owner)

    def find(self, name: str, pattern: str, owner: int) -> list[Found]:
        """See `runner.ports.Executor`. `owner` is the uid of what is its own."""
        try:
            place = os.open(self.of(name) / "workspace", os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return []
        try:
            found, complete = files.find(place, pattern, {owner, os.geteuid()})
        finally:
            os.close(place)
        listed = [
            Found(each["path"], each["size"], each["kind"] == "directory", _problem(each))
            for each in found
        ]
        if not complete:
            listed.append(
                Found(pattern, problem="there is more in the workspace than is looked at")
            )
        return listed

    def read_report(self, name: str, file: str, most: int, owner: int) -> Excerpt | None:
        """See `runner.ports.Executor`. `owner` is the uid of what is its own. Blocks: for a
        thread."""
        try:
            place = os.open(self.task(name), os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return None
        try:
            opened = files.open_file(place, file, {owner, os.geteuid()})
        except FileNotFoundError:
            return None
        except files.Refused as refused:
            return Excerpt(problem=str(refused))
        except OSError as error:
            return Excerpt(problem=f"it cannot be opened: {error.strerror}")
        finally:
            os.close(place)
        try:
            return Excerpt(*files.read_end(opened, most))
        except OSError as error:
            return Excerpt(problem=f"it cannot be read: {error.strerror}")
        finally:
            os.close(opened)

    def remove(self, name: str) -> None:
        """Leave nothing of it; twice is fine. Raises OSError. Blocks: for a thread."""
        try:
            place = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return
        try:
            with contextlib.suppress(FileNotFoundError):
                for _ in files.remove(place, name):
                    pass
        finally:
            os.close(place)

    def names(self) -> list[str]:
        """The attempts that have a directory."""
        try:
            return sorted(path.name for path in self.root.iterdir())
        except FileNotFoundError:
            return []


def _write(file: Path, data: bytes, owner: tuple[int, int]) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as out:
        out.write(data)
    if owner != (os.geteuid(), os.getegid()):
        os.chown(file, *owner)


def barred(root: Path, user: str) -> str:
    """What certainly keeps `user` ("uid:gid", whose engine it is) from what lies below `root`, a
    directory on the way there; empty where nothing is seen to, and for root's own engine. Access
    lists are in the bits of the group."""
    uid = user.partition(":")[0]
    for each in (*reversed(root.parents), root) if uid else ():
        try:
            found = each.stat()
        except OSError:
            break
        if str(found.st_uid) != uid and not found.st_mode & (stat.S_IXGRP | stat.S_IXOTH):
            return f"its user, {uid}, cannot get to tasks' files: {each} is closed to it"
    return ""


def _problem(told: dict[str, object]) -> str:
    kind = told["kind"]
    if kind in {"file", "directory"}:
        return "" if told["own"] else "it is another user's, or has a second name (hard link)"
    return "it is a link" if kind == "link" else "it is no regular file"
