"""The system call filter's program, run by a small interpreter of what the kernel would do."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.keeper import seccomp
from runner.keeper.seccomp import ALLOW, ARCHITECTURES, CONDITIONS, FAIL, KILL, REFUSED

LOAD, EQUAL, ABOVE, BITS, RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
MACHINES = sorted(ARCHITECTURES)

machines = st.sampled_from(MACHINES)
words = st.integers(0, 2**64 - 1)
arguments = st.lists(words, min_size=6, max_size=6)


def decide(program: bytes, audit: int, number: int, given: list[int]) -> int:
    """What the kernel answers: seccomp's classic BPF, as far as the program may use it."""
    data = struct.pack("<IIQ6Q", number, audit, 0, *given)
    steps = list(struct.iter_unpack("<HBBI", program))
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == RETURN:
            return int(value)
        if code == LOAD:
            assert value % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, value)
        else:
            tests = {
                EQUAL: accumulator == value,
                ABOVE: accumulator > value,
                BITS: bool(accumulator & value),
            }
            at += if_true if tests[code] else if_false


def expected(machine: str, number: int, given: list[int]) -> int:
    """The same, from the tables."""
    column = ARCHITECTURES[machine][0]
    if number > seccomp.NEWEST or number == seccomp.CLONE3:
        return FAIL | errno.ENOSYS
    for condition in CONDITIONS.values():
        if condition.numbers[column] == number:
            low = given[condition.argument] & 0xFFFFFFFF
            hit = (
                any(low & value for value in condition.values)
                if condition.any_bit
                else low in condition.values
            )
            return FAIL | condition.error if hit == condition.refused else ALLOW
    refused = number in {numbers[column] for numbers in REFUSED.values()}
    return FAIL | errno.EPERM if refused else ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_is_answered_as_the_tables_say(machine: str) -> None:
    program, audit = seccomp.program(machine), ARCHITECTURES[machine][1]
    for number in range(700):
        given = [0] * 6
        assert decide(program, audit, number, given) == expected(machine, number, given), number


@given(machine=machines, number=st.integers(0, 2**32 - 1), given=arguments)
def test_any_number_and_any_arguments_are_answered_as_the_tables_say(
    machine: str, number: int, given: list[int]
) -> None:
    program, audit = seccomp.program(machine), ARCHITECTURES[machine][1]
    assert decide(program, audit, number, given) == expected(machine, number, given)


@given(data=st.data(), machine=machines, name=st.sampled_from(sorted(CONDITIONS)), given=arguments)
def test_a_call_that_depends_on_an_argument_goes_by_its_low_half(
    data: st.DataObject, machine: str, name: str, given: list[int]
) -> None:
    condition = CONDITIONS[name]
    low = data.draw(st.sampled_from(condition.values) | st.integers(0, 2**32 - 1))
    given[condition.argument] = given[condition.argument] & ~0xFFFFFFFF | low
    number = condition.numbers[ARCHITECTURES[machine][0]]
    program, audit = seccomp.program(machine), ARCHITECTURES[machine][1]
    assert decide(program, audit, number, given) == expected(machine, number, given)


@given(machine=machines, audit=st.integers(0, 2**32 - 1), number=st.integers(0, 500))
def test_a_call_of_another_architecture_kills(machine: str, audit: int, number: int) -> None:
    if audit == ARCHITECTURES[machine][1]:
        return
    assert decide(seccomp.program(machine), audit, number, [0] * 6) == KILL


@given(number=st.integers(0, 600))
def test_no_call_of_x32_is_there(number: int) -> None:
    program, audit = seccomp.program("x86_64"), ARCHITECTURES["x86_64"][1]
    assert decide(program, audit, number | 0x40000000, [0] * 6) == FAIL | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_threads_and_forks_are_allowed_and_new_namespaces_are_not(machine: str) -> None:
    column, audit = ARCHITECTURES[machine]
    program, clone = seccomp.program(machine), CONDITIONS["clone"].numbers[column]
    fork, thread = 17, 0x3D0F00
    for flags in (fork, thread):
        assert decide(program, audit, clone, [flags, 0, 0, 0, 0, 0]) == ALLOW
    for kind in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(program, audit, clone, [fork | kind, 0, 0, 0, 0, 0]) == FAIL | errno.EPERM


def test_a_machine_without_a_table_has_no_program() -> None:
    assert seccomp.program("riscv64") == b""


@pytest.mark.parametrize("machine", MACHINES)
def test_no_jump_leads_out_of_the_program(machine: str) -> None:
    steps = list(struct.iter_unpack("<HBBI", seccomp.program(machine)))
    assert len(steps) <= 4096  # BPF_MAXINSNS
    for at, (code, if_true, if_false, _) in enumerate(steps):
        if code not in (RETURN, LOAD):
            assert at + 1 + max(if_true, if_false) < len(steps)
    assert steps[-1][0] == RETURN


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("cannot here: no kernel headers of that machine")
    text = HEADERS[machine].read_text()
    found = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)
    known = {name: int(number) for name, number in found}
    column = ARCHITECTURES[machine][0]
    ours = {name: numbers[column] for name, numbers in REFUSED.items()}
    ours |= {name: condition.numbers[column] for name, condition in CONDITIONS.items()}
    compared = {name: number for name, number in ours.items() if name in known}
    assert compared == {name: known[name] for name in compared}
    assert len(compared) > 40
