"""The way to a place of this host, walked name by name: where it leads, and whether others than
root could make it lead elsewhere. Who may write to a directory may exchange what lies in it, at any
moment; what nobody may exchange stays what it was when it was looked at, also for somebody who is
given no more than its path.

Looked at only; nothing on the way is opened for reading. Not here: what is granted (policy).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Container, Sequence

from runner.domain import paths
from runner.planning.policy import HostPath

Trusted = Callable[[str], Container[int]]
"""The users who may write to a directory on the way."""

_MOST_LINKS = 40  # as the kernel has it
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class Exchangeable(Exception):
    """Others may exchange what lies on the way; the text is the directory in which they may."""


class Strays(Exception):
    """What is wrong with a source, as a sentence goes on after its name."""


def trusted(granted: Sequence[HostPath]) -> Trusted:
    """Root and this process's own user. Where tasks run as that user too, what is theirs below
    a path that is granted for writing is any task's to change: there, root alone."""
    own = frozenset({0, os.geteuid()})
    writable = [os.path.realpath(each.path) for each in granted if each.writable]

    def of(directory: str) -> frozenset[int]:
        below = any(paths.lies_below(directory, path) for path in writable)
        return frozenset({0}) if below else own

    return of


def walk(path: str, by: Trusted, *, links: bool = True) -> tuple[int, str]:
    """A descriptor (O_PATH) of what an absolute path leads to, and its path without links. Raises
    Exchangeable; OSError, ELOOP for a link where none may be."""
    done: list[str] = []
    held = [os.open("/", os.O_PATH | os.O_DIRECTORY)]
    left = paths.names(path)[::-1]
    hops = 0
    try:
        while left:
            name = left.pop()
            if name == "..":
                if done:
                    done.pop()
                    os.close(held.pop())
                continue
            child = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=held[-1])
            held.append(child)
            about = os.fstat(child)
            _check(os.fstat(held[-2]), about, paths.plain("/".join(done)), by)
            if not stat.S_ISLNK(about.st_mode):
                done.append(name)
                continue
            hops += 1
            if not links or hops > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink("", dir_fd=child)
            os.close(held.pop())
            left += paths.names(target)[::-1]
            if target.startswith("/"):
                done.clear()
                while len(held) > 1:
                    os.close(held.pop())
        return held.pop(), paths.plain("/".join(done))
    finally:
        for each in held:
            os.close(each)


def _check(directory: os.stat_result, child: os.stat_result, path: str, by: Trusted) -> None:
    """Group and others cover access lists too, whose mask the group's bits are. In a sticky
    directory, each may exchange what is their own."""
    users = by(path)
    open_to_others = directory.st_mode & _OTHERS_WRITE
    kept = directory.st_mode & stat.S_ISVTX and child.st_uid in users
    if directory.st_uid not in users or (open_to_others and not kept):
        raise Exchangeable(path)


def reach(
    source: str,
    roots: Sequence[HostPath],
    granted: Sequence[HostPath],
    never: Callable[[str], bool],
) -> tuple[int, str]:
    """A descriptor of what lies at a source, and its path without links. `roots` are those of
    `granted` that it lies below by name, one of which it is really to lie below; `never` says what
    no task is given. Raises Strays; OSError where it cannot be had."""
    by = trusted(granted)
    real = os.path.realpath(source)
    if never(real):
        raise Strays("leads to what is never given to tasks, or holds it")
    try:
        if not _lies_below(real, roots, by):
            raise Strays("has a link on the way that leads out of the granted host path")
        # of a path without links, so that whoever is given it comes here too
        return walk(real, by, links=False)
    except Exchangeable as error:
        why = f"is reached by way of {error}, where others than root may exchange what lies there"
        raise Strays(why) from error


def _lies_below(real: str, roots: Sequence[HostPath], by: Trusted) -> bool:
    """Whether it lies below one of the granted paths by where that really is. Raises what kept it
    from being seen, where it lies below none."""
    problem: Exchangeable | OSError | None = None
    for root in roots:
        try:
            file, base = walk(root.path, by)
        except (Exchangeable, OSError) as error:
            problem = error
            continue
        os.close(file)
        if paths.lies_below(real, base):
            return True
    if problem is not None:
        raise problem
    return False


def strays(
    source: str,
    roots: Sequence[HostPath],
    granted: Sequence[HostPath],
    never: Callable[[str], bool],
) -> str:
    """What is wrong with a source, as far as this process may look; empty where nothing is."""
    try:
        file, _ = reach(source, roots, granted, never)
    except Strays as error:
        return str(error)
    except OSError as error:
        missing = error.errno in {errno.ENOENT, errno.ENOTDIR}
        return "is not there" if missing else ""
    os.close(file)
    return ""
