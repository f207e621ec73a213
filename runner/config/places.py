"""Where things are unless somebody says otherwise (interfaces.md, "Addresses and files")."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

CONFIG_FILE = Path("/etc/env-runner/config.toml")
SOCKET = "supervisor.sock"
_NAME = "env-runner"
GPU_LOCKS = Path("/run") / _NAME / "gpus"
"""Where all runners of a host lock its GPUs, whoever runs them and in whatever session: one place,
since two that lock in different ones would give a device to two tasks."""


def state_directory(environ: Mapping[str, str], *, root: bool) -> Path:
    """systemd's, else the system's for root, else the user's own."""
    if given := _first(environ, "STATE_DIRECTORY"):
        return given
    if root:
        return Path("/var/lib") / _NAME
    return (_absolute(environ, "XDG_STATE_HOME") or _home(environ) / ".local/state") / _NAME


def runtime_directory(environ: Mapping[str, str], *, root: bool) -> Path:
    """systemd's, else the system's for root, else the session's; without a session a directory
    in the state directory, so that everything works there too."""
    if given := _first(environ, "RUNTIME_DIRECTORY"):
        return given
    if root:
        return Path("/run") / _NAME
    if session := _absolute(environ, "XDG_RUNTIME_DIR"):
        return session / _NAME
    return state_directory(environ, root=root) / "run"


def _first(environ: Mapping[str, str], name: str) -> Path | None:
    """The first of systemd's directories, which come joined by colons."""
    first = environ.get(name, "").partition(":")[0]
    return Path(first) if first.startswith("/") else None


def _absolute(environ: Mapping[str, str], name: str) -> Path | None:
    """As the XDG specification has it: what is not absolute is passed over."""
    given = environ.get(name, "")
    return Path(given) if given.startswith("/") else None


def _home(environ: Mapping[str, str]) -> Path:
    return _absolute(environ, "HOME") or Path("/tmp") / _NAME  # noqa: S108 - no home at all
