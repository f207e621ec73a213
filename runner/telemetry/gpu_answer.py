"""What the process that asks the driver answers: one line of JSON, written there and read here.

Not here: the asking (`gpu_driver.py`), or what becomes of the answer (`gpu_seen.py`).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from runner.domain.gpu import Gpu

LONGEST = 1 << 20
"""Bytes of a line: more devices and processes than any host has."""

PLACE = 128
"""Bytes in which is written down which device is being asked, so that it is known where an answer
never comes. Spaces where it is none."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A device that tells nothing of itself, and why: for anybody, and in the driver's own `words`,
    which are for operators. `uuid` is empty where not even that is known,
    `index` is -1 where the driver counts it no more. `lost`: the driver says so of the device
    itself; else a call has failed, or a list was without it."""

    index: int
    problem: str
    uuid: str = ""
    lost: bool = False
    words: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """An Xid, and the device that it is of; empty where the driver does not tell."""

    uuid: str
    xid: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The devices that tell of themselves, and those that do not; only that one where `of` is a
    UUID. `problem` says why nothing is known of any; `absent` where that is since there is no
    driver to ask, else it was but a call that failed. `driver` is its version, empty where the
    process that answers can ask it no more. None of these says that the driver was unloaded.
    `events` are those since the last answer of the same process."""

    devices: tuple[Gpu, ...] = ()
    problem: str = ""
    driver: str = ""
    silent: tuple[Silent, ...] = ()
    events: tuple[Event, ...] = ()
    of: str = ""
    absent: bool = False


def encode(answer: Answer) -> bytes:
    """The line."""
    return json.dumps(dataclasses.asdict(answer), separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Answer:
    """What `encode` was given. Raises ValueError."""
    import msgspec  # noqa: PLC0415 - the process that only encodes does without

    try:
        return msgspec.json.decode(line, type=Answer)
    except msgspec.DecodeError as error:
        raise ValueError(f"an answer that is none: {error}") from error
