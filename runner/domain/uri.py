"""Where artifacts lie: the form of a URI that a payload may name.

The text alone is looked at, strictly: nothing here resolves a name, and whether a place is
granted is policy's to say. http is read so that policy can refuse it by name.
"""

from __future__ import annotations

import re

from runner.domain.refusal import quote

SCHEMES = ("s3", "https", "file", "reddb", "http")

_LONGEST = 2048
_PRINTABLE = re.compile(r"[!-~]+")
_FORMS = {
    # No query and no port: an endpoint comes from the configuration alone.
    "s3": re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^?#]+"),
    "https": re.compile(r"https://[A-Za-z0-9._\[\]:-]{1,260}/[^#]*"),
    "http": re.compile(r"http://[A-Za-z0-9._\[\]:-]{1,260}(?:/[^#]*)?"),
    "file": re.compile(r"file:///[^?#]+"),
    "reddb": re.compile(r"reddb://[A-Za-z0-9._\[\]:-]{1,260}/[A-Za-z0-9._-]+/[^?#]+"),
}
_HIDDEN = re.compile(r"%(?:2[eEfF]|5[cC]|00)")  # ".", "/", "\" and NUL, to slip past a check


def fault(uri: str) -> tuple[str, str] | None:
    """The reason and a sentence where `uri` is not taken, or None."""
    if len(uri) > _LONGEST:
        return "BAD_REFERENCE", f"is {len(uri)} characters long; {_LONGEST} at most"
    if not _PRINTABLE.fullmatch(uri) or "\\" in uri:
        return "BAD_REFERENCE", f"{quote(uri)} holds characters that no URI has; percent-encode"
    if scheme(uri) not in SCHEMES:
        return "BAD_REFERENCE", f"{quote(uri)} is none of s3://, https://, file:///, reddb://"
    if not _FORMS[scheme(uri)].fullmatch(uri):
        return "BAD_REFERENCE", f"{quote(_masked(uri))} has not the form of {scheme(uri)} URIs"
    if scheme(uri) == "file" and (".." in uri.split("/") or _HIDDEN.search(uri)):
        return "PATH_ESCAPE", f"{quote(uri)} may lead out of its directory"
    return None


def scheme(uri: str) -> str:
    """What stands before `://`; empty where nothing does."""
    before, sign, _ = uri.partition("://")
    return before if sign else ""


def _masked(uri: str) -> str:
    """Without what may be a password before the host."""
    head, sign, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    return head + sign + authority.rpartition("@")[2] + slash + path.partition("?")[0]
