"""Paths that a payload may name: inside the workspace, inside a container, on the host.

Each check returns the reason and a sentence for a path that is not taken, or None. They look
at the text alone; what a path leads to (links!) is for whoever opens it.
"""

from __future__ import annotations

import re

from runner.domain.refusal import quote

Fault = tuple[str, str] | None

_LONGEST = 4095  # bytes: PATH_MAX with its NUL
_LONGEST_NAME = 255  # bytes: NAME_MAX of every common file system
_DRIVE = re.compile(r"[A-Za-z]:")
_SYSTEM = ("/proc", "/sys", "/dev")  # an engine fills these in a container itself


def relative(path: str) -> Fault:
    """A path below the workspace: no `..`, nothing that a shell or Windows would expand."""
    if fault := _common(path):
        return fault
    if path.startswith("/"):
        return "BAD_PATH", f"{quote(path)} is absolute; a path below the workspace is meant"
    return None


def relative_file(path: str) -> Fault:
    """The same, naming a file: not the workspace itself, no slash at its end."""
    if fault := relative(path):
        return fault
    if path.endswith("/") or names(path) == []:
        return "BAD_PATH", f"{quote(path)} names a directory; a file is meant"
    return None


def absolute(path: str) -> Fault:
    """A path on the host or in a container, `/` itself included."""
    if fault := _common(path):
        return fault
    if not path.startswith("/") or path.startswith("//"):
        return "BAD_PATH", f"{quote(path)} is no absolute path"
    return None


def inside_container(path: str) -> Fault:
    """An absolute path at which something can be mounted in a container."""
    if fault := absolute(path):
        return fault
    if not names(path) or any(lies_below(path, top) for top in _SYSTEM):
        return "BAD_PATH", f"nothing can be mounted at {quote(path)}"
    return None


def working_dir(path: str) -> Fault:
    """A working directory whose mode is not known yet: relative, or absolute in a container."""
    return inside_container(path) if path.startswith("/") else relative(path)


def names(path: str) -> list[str]:
    """The names in it, without empty ones and dots."""
    return [name for name in path.split("/") if name not in {"", "."}]


def plain(path: str) -> str:
    """The absolute path without empty names and dots."""
    return "/" + "/".join(names(path))


def lies_below(path: str, root: str) -> bool:
    """Whether the absolute `path` is `root` or lies below it, by name."""
    above = names(root)
    return names(path)[: len(above)] == above


def _common(path: str) -> Fault:
    if not path:
        return "BAD_PATH", "must not be empty"
    if not path.isprintable():
        return "BAD_PATH", f"{quote(path)} holds control characters"
    if path[0] in "~$" or "\\" in path or _DRIVE.match(path):
        return "BAD_PATH", f"{quote(path)} is taken literally: no ~, $, backslash or drive here"
    if ".." in path.split("/"):
        return "PATH_ESCAPE", f"{quote(path)} has '..' in it and may lead out"
    if len(path.encode()) > _LONGEST or any(
        len(name.encode()) > _LONGEST_NAME for name in path.split("/")
    ):
        return "BAD_PATH", f"{quote(path)} is longer than a path may be"
    return None


def output_places(working_dir: str, path: str) -> tuple[str, ...]:
    """Where an output of that path may lie in the workspace, the likeliest place first: below
    the directory in which the task starts, or in the workspace itself. An absolute directory is
    where a container has its workspace."""
    below = working_dir.strip("/")
    if working_dir.startswith("/") or below in ("", "."):
        return (path,)
    return f"{below}/{path}", path
