"""The keys of `[python]` that are of environments: where packages come from, and what a build
and all environments together may take.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from runner.config.model import Python
from runner.domain import paths, values
from runner.domain.pointer import below
from runner.domain.shape import Faults, Field, Flag, ListOf, Quantity, Text, whole

_KNOWN = Python()
_MIB, _PIB = 2**20, 2**50


def _path(text: str) -> tuple[str, str] | None:
    return paths.absolute(text) if text else None


def _index(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    try:
        parts = urlsplit(text)
        well = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return "BAD_REFERENCE", "is no URL"
    if parts.username is not None:
        return "CONFLICT", "holds a login; that goes into index_login, which is shown nowhere"
    return None if well else ("BAD_REFERENCE", "is no URL with a host")


def check(known: Any, at: str, faults: Faults) -> None:
    """For the section: a login is for an index."""
    if isinstance(known, Python) and known.index_login and not known.index:
        faults.add(below(at, "index_login"), "CONFLICT", "there is no index that it is for")


def _size(most: int, least: int = _MIB) -> Quantity:
    return Quantity(values.size, least, most, "bytes")


ENVIRONMENTS: Mapping[str, Field] = {
    "index": Field(
        Text("(?:https?://[!-~]+)?", "BAD_REFERENCE", "http:// or https://", check=_index),
        "Where packages come from (the simple API); where empty, no network is used.",
        "",
    ),
    "index_login": Field(
        Text("(?s)(?:[^:]+:.+)?", "BAD_REFERENCE", "user:password", secret=True),
        "The login for the index, as user:password.",
        "",
    ),
    "wheel_houses": Field(
        ListOf(Text(check=paths.absolute), longest=100),
        "Directories with packages, beside the index or instead of it.",
        (),
    ),
    "source_builds": Field(
        Flag(),
        "Whether packages that have no wheel are built, which runs their code.",
        default=False,
    ),
    "uv": Field(
        Text(check=_path), "The program uv; the one that is installed with this if empty.", ""
    ),
    "directory": Field(
        Text(check=_path),
        "Where environments are kept; `environments` in the state directory where empty.",
        "",
    ),
    "budget": Field(
        _size(_PIB), "Room for all; beyond it the least recently used go.", _KNOWN.budget
    ),
    "size": Field(_size(_PIB), "The most that one environment may take.", _KNOWN.size),
    "build_timeout": Field(
        Quantity(values.seconds, 1, 86_400, "seconds"),
        "After how long a build is given up.",
        _KNOWN.build_timeout,
    ),
    "build_memory": Field(
        _size(_PIB, 64 * _MIB),
        "The memory of a build; a quarter of the host's at most.",
        _KNOWN.build_memory,
    ),
    "build_disk": Field(
        _size(_PIB),
        "The disk of a build, which is memory; half of the host's at most.",
        _KNOWN.build_disk,
    ),
    "build_cpu": Field(
        Quantity(values.cores, 0.1, 4096, "cores"), "The cores of a build.", _KNOWN.build_cpu
    ),
    "builds": Field(whole(1, 100), "How many builds run at once.", _KNOWN.builds),
}
