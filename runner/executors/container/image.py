"""What of an image counts: its id, and what it would run as, told from the engine's answer.

All of it is data that strangers wrote. Not here: getting it (`images.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """`id` is the engine's, with its algorithm."""

    id: str
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    volumes: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()  # their names
    annotations: tuple[str, ...] = ()  # likewise, of its manifest; none where Docker tells of it


def facts(told: Mapping[str, Any]) -> ImageFacts:
    """What `told`, the answer to an inspection, says."""
    config = told.get("Config") or {}
    pairs = (str(line).partition("=") for line in config.get("Env") or ())
    return ImageFacts(
        id=full_id(str(told["Id"])),
        entrypoint=_words(config.get("Entrypoint")),
        command=_words(config.get("Cmd")),
        env=tuple((name, value) for name, _, value in pairs),
        volumes=tuple(sorted(map(str, config.get("Volumes") or ()))),
        labels=tuple(sorted(map(str, config.get("Labels") or ()))),
        annotations=tuple(sorted(map(str, told.get("Annotations") or ()))),
    )


def full_id(text: str) -> str:
    """An image's id with its algorithm, which Podman leaves out."""
    return text if text.startswith("sha256:") else f"sha256:{text}"


def _words(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(map(str, value)) if isinstance(value, list) else ()
