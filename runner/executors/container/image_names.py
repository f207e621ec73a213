"""What images are called by engines, told apart exactly: pure.

An engine takes part of an id for a name, and Podman takes any repository's digest for one of
another: so names are given to it in full, and what it finds is held against what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from runner.domain.image import Image, parse


def name(image: Image) -> str:
    """Its repository in full."""
    return "/".join((image.host, *image.path))


def by_tag(image: Image) -> str:
    """As engines are asked for it by its tag."""
    return f"{name(image)}:{image.tag}"


def by_digest(image: Image, digest: str) -> str:
    """As engines are asked for what is exactly this."""
    return f"{name(image)}@{digest}"


def has_tag(found: Mapping[str, Any], image: Image) -> bool:
    """Whether what an engine found bears this very tag of this very repository."""
    return any(
        _same(each, image) and each.tag == image.tag for each in _parsed(found.get("RepoTags"))
    )


def digests(found: Mapping[str, Any], image: Image) -> list[str]:
    """The digests by which what an engine found is known in this repository."""
    return [
        each.digest
        for each in _parsed(found.get("RepoDigests"))
        if _same(each, image) and each.digest
    ]


def all_names(found: Mapping[str, Any]) -> set[str]:
    """Every repository that has it, in full."""
    both = (*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ()))
    return {name(each) for each in _parsed(both)}


def _parsed(texts: Iterable[str] | None) -> list[Image]:
    parsed = (parse(text) for text in texts or ())  # docker says <none>:<none> of no name
    return [each for each in parsed if each is not None]


def _same(one: Image, other: Image) -> bool:
    return (one.host, one.path) == (other.host, other.path)
