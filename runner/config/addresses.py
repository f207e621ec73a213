"""Addresses in the configuration: checks for the form, each a (reason, sentence) or None.

Not here: whether anybody may listen there, or does; that is asked when the daemon starts.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from runner.domain import paths
from runner.domain.refusal import quote

_LONGEST_SOCKET = 107  # bytes: sockaddr_un.sun_path less its NUL
_PORT = re.compile(r"(.+):([0-9]{1,5})")


def unix_path(path: str) -> tuple[str, str] | None:
    """An absolute path that a socket can have."""
    if fault := paths.absolute(path):
        return fault
    if len(path.encode()) > _LONGEST_SOCKET:
        return "BAD_PATH", f"a socket's path has at most {_LONGEST_SOCKET} bytes"
    return None


def unix_path_or_none(text: str) -> tuple[str, str] | None:
    """Likewise, or empty."""
    return unix_path(text) if text else None


def grpc(text: str) -> tuple[str, str] | None:
    """An address of the gRPC service: "unix:/path", or "host:port"."""
    if text.startswith("unix:"):
        return unix_path(text.removeprefix("unix:"))
    match = _PORT.fullmatch(text)
    if match and int(match[2]) < 2**16:
        return None
    return "BAD_REFERENCE", f'{quote(text)} is neither "unix:/path" nor "host:port"'


def http(text: str) -> tuple[str, str] | None:
    """An address of HTTP: "host:port", or empty."""
    if text.startswith("unix:"):
        return "BAD_REFERENCE", f'{quote(text)} is no "host:port"'
    return grpc(text) if text else None


def public_url(text: str) -> tuple[str, str] | None:
    """What a path may be put behind; or empty."""
    if "?" in text or "#" in text:
        return "BAD_REFERENCE", "a link's path goes behind it: it has no query and no fragment"
    try:
        named = not text or bool(urlsplit(text).hostname)
    except ValueError:  # half of a pair of brackets
        named = False
    return None if named else ("BAD_REFERENCE", f"{quote(text)} names no host")


def is_loopback(address: str) -> bool:
    """Whether a "host:port" can be reached from this host alone."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
