"""References to container images, and the patterns that grant them.

A pattern is matched on host, path segments and tag apart: `*` stays within a segment, and a
pattern without a tag, or with the tag `*`, takes any. What no host is named for is on docker.io, as
for engines.

Engines run what a digest names, whatever tag stands before it. So a pattern with a tag takes no
reference with a digest: which digests that tag has, or had, only a registry knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

_LONGEST = 512  # characters; a name may have 255, a tag 128, a digest 71
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(?::[0-9]{1,5})?")
_IP6 = re.compile(r"\[[0-9a-fA-F:]{2,39}\](?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DEFAULT_HOST = "docker.io"
_OLD_HOST = "index.docker.io"  # engines take it for the former


@dataclass(frozen=True, slots=True)
class Image:
    """A reference in its parts; `tag` and `digest` are empty where there are none."""

    host: str
    path: tuple[str, ...]
    tag: str
    digest: str


def parse(reference: str) -> Image | None:
    """The parts of a reference, `:latest` where it names neither tag nor digest.

    None where it is no reference.
    """
    if len(reference) > _LONGEST:
        return None
    parts = _split(reference)
    host_ok = _HOST.fullmatch(parts.host) or _IP6.fullmatch(parts.host)
    names_ok = all(_NAME.fullmatch(name) for name in parts.path)
    tag_ok = _TAG.fullmatch(parts.tag) or (not parts.tag and not _says(reference, ":"))
    digest_ok = _DIGEST.fullmatch(parts.digest) or (not parts.digest and "@" not in reference)
    if not (host_ok and names_ok and tag_ok and digest_ok):
        return None
    if parts.tag or parts.digest:
        return parts
    return Image(parts.host, parts.path, "latest", "")


def matches(pattern: str, image: Image) -> bool:
    """Whether `pattern` (of the configuration) grants `image`."""
    wanted = _split(pattern)
    host = wanted.host.lower()
    return (
        # an address in brackets is no choice of characters
        (image.host == host or fnmatchcase(image.host, host))
        and len(wanted.path) == len(image.path)
        and all(fnmatchcase(a, b) for a, b in zip(image.path, wanted.path, strict=True))
        and (image.digest == wanted.digest if wanted.digest else _has_tag(image, wanted.tag))
    )


def _has_tag(image: Image, pattern: str) -> bool:
    """Whether a tag is what the image is known by, and matches; any image where all would do."""
    return not pattern.strip("*") or (not image.digest and fnmatchcase(image.tag, pattern))


def pattern_fault(pattern: str) -> tuple[str, str] | None:
    """What keeps a pattern from ever granting anything; None where nothing is seen to."""
    parts = _split(pattern)
    segments = "a segment of its path has what no image's name has, or nothing"
    tests = (
        (_may_be(parts.host, _HOST, "A-Za-z0-9.:-"), "its host"),
        (all(_may_be(name, _NAME, "a-z0-9._-") for name in parts.path), segments),
        (not parts.tag or _may_be(parts.tag, _TAG, "A-Za-z0-9_.-"), "its tag"),
        (_DIGEST.fullmatch(parts.digest) or "@" not in pattern, "its digest"),
    )
    for good, what in tests:
        if not good:
            why = what if what is segments else f"{what} is none that an image can have"
            return "BAD_REFERENCE", f"no image can match it: {why}"
    return None


def host_fault(host: str) -> tuple[str, str] | None:
    """What keeps a text from being the host of any reference, its port included; None where
    nothing does."""
    image = parse(f"{host}/image")
    if image is not None and image.host == host.lower():
        return None
    called = image.host if image is not None and host.lower() == _OLD_HOST else ""
    instead = f"; those of {called} are meant: say that" if called else ""
    return "BAD_REFERENCE", f"no image is of a host of that name{instead}"


def _may_be(pattern: str, form: re.Pattern[str], characters: str) -> bool:
    """Whether a text of that form may match a pattern, by the characters it is made of; where it
    has a choice of some, that is not looked into."""
    if "[" in pattern:
        return True
    literal = re.sub("[*?]", "", pattern)
    if literal == pattern:
        return form.fullmatch(pattern) is not None
    return re.fullmatch(f"[{characters}]*", literal) is not None


def _split(text: str) -> Image:
    rest, _, digest = text.partition("@")
    first, slash, after = rest.partition("/")
    if slash and ("." in first or ":" in first or first.lower() == "localhost"):
        host, rest = first.lower(), after  # names of hosts are of one case
    else:
        host = _DEFAULT_HOST
    if host == _OLD_HOST:
        host = _DEFAULT_HOST
    last = rest.rsplit("/", 1)[-1]
    name, _, tag = last.partition(":")
    path = (*rest.split("/")[:-1], name)
    if host == _DEFAULT_HOST and len(path) == 1:
        path = ("library", *path)
    return Image(host, path, tag, digest)


def _says(reference: str, sign: str) -> bool:
    """Whether the last segment holds `sign`, so that an empty tag is a fault."""
    return sign in reference.partition("@")[0].rsplit("/", 1)[-1]
