"""Which of the driver's error events (Xids) are the device's fault. Pure; where they come from is
`gpu_driver.py`.

By NVIDIA's "Xid errors": what it answers with restarting the program, or with nothing, is no fault
of the device. Whatever is not listed here is: a device is not given out on a guess.
"""

from __future__ import annotations

_OF_PROGRAMS = frozenset({8, 11, 13, 31, 43, 45, 68, 69, 109})
"""Exceptions and page faults, invalid commands, clean-up after them, a program that does not yield:
any task can bring these about."""

_DEALT_WITH = frozenset({63, 92, 94, 154})
"""A row was remapped, or a page retired (63); many single-bit errors, all corrected (92); an error
that was contained, and ended the program that met it (94); the driver's advice, which follows upon
an event of its own (154). What remapping cannot do any more is asked of the device itself."""

_WORDS = {
    48: "an uncorrectable memory error",
    62: "its microcontroller halted",
    64: "a memory row or page could not be retired",
    74: "an NVLink error",
    79: "it has fallen off the bus",
    95: "an uncontained memory error",
    119: "its firmware does not answer",
    120: "its firmware failed",
    140: "an unrecovered memory error",
}


def fatal(xid: int) -> bool:
    """Whether the device is not to be used after that."""
    return xid not in _OF_PROGRAMS | _DEALT_WITH


def sentence(xid: int) -> str:
    """What happened, for a person."""
    return f"Xid {xid}: {_WORDS.get(xid, 'an error of the device')}"
