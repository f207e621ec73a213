"""The program that says which devices a group may open, run here as the kernel would run it."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from runner.keeper.device_rules import Rules, program

BLOCK, CHARACTER = 1, 2
MASK = 0xFFFFFFFF

numbers = st.integers(0, 300)
rules = st.builds(
    Rules,
    st.lists(numbers, max_size=6, unique=True).map(tuple),
    st.lists(st.tuples(numbers, numbers), max_size=6, unique=True).map(tuple),
)


def decide(code: bytes, kind: int, access: int, major: int, minor: int) -> int:
    """What the program returns. It may only go forwards, and has to end."""
    context = struct.pack("<III", access << 16 | kind, major, minor)
    steps = list(struct.iter_unpack("<BBhi", code))
    register = [0] * 11
    at = 0
    while True:
        code_, registers, jump, value = steps[at]
        to = registers & 15
        at += 1
        match code_:
            case 0x61:  # load a word of the context
                assert registers >> 4 == 1
                (register[to],) = struct.unpack_from("<I", context, jump)
            case 0x57:
                register[to] &= value
            case 0xB7:
                register[to] = value
            case 0x15 | 0x55:
                assert jump >= 0
                if (register[to] == value & MASK) == (code_ == 0x15):
                    at += jump
            case 0x95:
                return register[0]
            case _:
                raise AssertionError(f"no such instruction: {code_:#x}")


@given(rules, st.integers(1, 7), st.data())
def test_what_is_closed_is_shut_but_for_what_is_opened(
    given_: Rules, access: int, data: st.DataObject
) -> None:
    named = [*given_.closed, *(major for major, _ in given_.opened)] or [1]
    major = data.draw(st.sampled_from(named) | numbers)
    minor = data.draw(st.sampled_from([minor for _, minor in given_.opened] or [0]) | numbers)
    shut = major in given_.closed and (major, minor) not in given_.opened
    assert decide(program(given_), CHARACTER, access, major, minor) == (0 if shut else 1)


@given(rules, st.integers(1, 7), numbers, numbers)
def test_of_disks_they_say_nothing(given_: Rules, access: int, major: int, minor: int) -> None:
    assert decide(program(given_), BLOCK, access, major, minor) == 1
