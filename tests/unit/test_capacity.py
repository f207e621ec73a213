"""The ledger's arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.capacity import Lack, Ledger, Need, need_of
from tests.support.tasks import LIMITS, a_plan, a_task

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG
NEEDS = st.builds(
    Need, st.sampled_from([SHORT, LONG]), st.integers(0, 3_000_000), st.integers(0, 3000)
)


def a_ledger() -> Ledger:
    return Ledger(2.0, 1000, {SHORT: 2, LONG: 1})


@given(st.lists(NEEDS, max_size=20), st.randoms())
def test_what_is_given_back_leaves_exactly_zero(needs: list[Need], random: object) -> None:
    ledger = a_ledger()
    names = [str(n) for n in range(len(needs))]
    for name, wanted in zip(names, needs, strict=True):
        ledger.hold(name, wanted)
    random.shuffle(names)  # type: ignore[attr-defined] # a random.Random of Hypothesis'
    for name in names:
        assert ledger.release(name)
        assert not ledger.release(name)
    assert ledger.idle
    assert (ledger.cpu_free, ledger.memory_free) == (2.0, 1000)


@given(st.lists(NEEDS, max_size=20))
def test_what_fits_never_overbooks(needs: list[Need]) -> None:
    ledger = a_ledger()
    for number, wanted in enumerate(needs):
        if wanted.cpu <= 2_000_000 and wanted.memory <= 1000 and ledger.lack(wanted) is None:
            ledger.hold(str(number), wanted)
    held = [needs[int(name)] for name in ledger.holders]
    assert sum(n.cpu for n in held) <= 2_000_000
    assert sum(n.memory for n in held) <= 1000
    assert ledger.running(SHORT) <= 2
    assert ledger.running(LONG) <= 1


def test_it_says_what_is_lacking() -> None:
    ledger = a_ledger()
    ledger.hold("a", Need(LONG, 1_500_000, 100))
    assert ledger.lack(Need(LONG, 1, 1)) is Lack.CLASS
    assert ledger.lack(Need(SHORT, 600_000, 1)) is Lack.CAPACITY
    assert ledger.lack(Need(SHORT, 1, 901)) is Lack.CAPACITY
    assert ledger.lack(Need(SHORT, 500_000, 900)) is None
    assert ledger.lack(Need(TaskClass.GPU, 0, 0)) is Lack.CLASS


def test_what_is_larger_than_the_host_goes_alone() -> None:
    ledger = a_ledger()
    large = Need(SHORT, 64_000_000, 1 << 40)
    assert ledger.lack(large) is None
    ledger.hold("a", Need(LONG, 1, 1))
    assert ledger.lack(large) is Lack.CAPACITY


@given(
    st.integers(0, 2**40),
    st.integers(0, 2**40),
    st.sampled_from(["", "none", "standard", "strict"]),
    st.booleans(),
)
def test_a_disk_that_is_made_for_a_task_is_reserved_as_memory(
    memory: int,
    disk: int,
    level: str,
    held: bool,  # noqa: FBT001 - drawn
) -> None:
    limits = replace(LIMITS, memory_bytes=memory, disk_bytes=disk)
    task = a_task(plan=replace(a_plan(), limits=limits, level=level))
    if not held:
        task = replace(task, plan=replace(task.plan, unheld=("cpu", "disk")))
    assert need_of(task).memory == (memory + disk if level and held else memory)


def test_nobody_holds_twice() -> None:
    ledger = a_ledger()
    ledger.hold("a", need_of(a_task()))
    with pytest.raises(ValueError, match="already"):
        ledger.hold("a", need_of(a_task()))
