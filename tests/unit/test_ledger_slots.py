"""How many slots there are, by class and by tenant, and what becomes of a change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.capacity import Lack, Ledger, Need

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG


def test_a_tenant_holds_so_many_slots_over_all_classes() -> None:
    ledger = Ledger(8.0, 1000, {SHORT: 8, LONG: 8}, {"a": 2, "none": 0})
    ledger.hold("1", Need(SHORT, 0, 0, "a"))
    assert ledger.lack(Need(LONG, 0, 0, "a")) is None
    ledger.hold("2", Need(LONG, 0, 0, "a"))
    assert ledger.lack(Need(LONG, 0, 0, "a")) is Lack.TENANT
    assert ledger.lack(Need(LONG, 0, 0, "b")) is None
    assert ledger.lack(Need(LONG, 0, 0)) is None
    assert ledger.lack(Need(LONG, 0, 0, "none")) is Lack.TENANT
    ledger.release("1")
    assert ledger.lack(Need(LONG, 0, 0, "a")) is None


def test_fewer_slots_end_nobody_and_more_are_there_at_once() -> None:
    ledger = Ledger(8.0, 1000, {SHORT: 2}, {})
    ledger.hold("1", Need(SHORT, 0, 0, "a"))
    ledger.hold("2", Need(SHORT, 0, 0, "a"))
    ledger.grant({SHORT: 1}, {"a": 1})
    assert ledger.running(SHORT) == 2
    ledger.release("1")
    assert ledger.lack(Need(SHORT, 0, 0, "b")) is Lack.CLASS
    ledger.grant({SHORT: 3}, {"a": 1})
    assert ledger.lack(Need(SHORT, 0, 0, "b")) is None
    assert ledger.lack(Need(SHORT, 0, 0, "a")) is Lack.TENANT
    ledger.grant({SHORT: 3}, {})
    assert ledger.lack(Need(SHORT, 0, 0, "a")) is None


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30),
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3)),
)
def test_whoever_is_let_in_stays_within_the_bounds_and_all_is_given_back(
    steps: list[tuple[str, bool]], most: dict[str, int]
) -> None:
    ledger = Ledger(8.0, 1000, {SHORT: 100}, most)
    held: list[tuple[str, str]] = []
    for number, (tenant, leaves) in enumerate(steps):
        need = Need(SHORT, 0, 0, tenant)
        if leaves and held:
            ledger.release(held.pop(0)[0])
        elif ledger.lack(need) is None:
            ledger.hold(str(number), need)
            held.append((str(number), tenant))
        for name, bound in most.items():
            assert sum(tenant == name for _, tenant in held) <= bound
    for task_id, _ in held:
        ledger.release(task_id)
    assert ledger.idle
