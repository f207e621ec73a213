"""What a start is expected to cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.lengths import LEAST, REMEMBERED, UNKNOWN, Lengths

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_what_is_expected_lies_within_what_was_seen(seen: list[float]) -> None:
    lengths = Lengths()
    for seconds in seen:
        lengths.learn(SHORT, "a", seconds)
    bounds = [max(seconds, LEAST) for seconds in seen]
    slack = max(bounds) * 1e-9
    assert min(bounds) - slack <= lengths.expect(SHORT, "a") <= max(bounds) + slack


def test_the_first_is_taken_as_it_is_and_a_change_is_followed() -> None:
    lengths = Lengths()
    assert lengths.expect(SHORT, "a") == UNKNOWN
    lengths.learn(SHORT, "a", 100.0)
    assert lengths.expect(SHORT, "a") == 100.0
    for _ in range(40):
        lengths.learn(SHORT, "a", 1.0)
    assert lengths.expect(SHORT, "a") < 2.0


def test_a_tenant_of_whom_nothing_is_known_counts_as_its_class() -> None:
    lengths = Lengths()
    lengths.learn(SHORT, "a", 30.0)
    lengths.learn(LONG, "a", 900.0)
    assert lengths.expect(SHORT, "b") == 30.0
    assert lengths.expect(LONG, "b") == 900.0
    assert lengths.expect(TaskClass.GPU, "a") == UNKNOWN


def test_of_many_tenants_the_latest_are_remembered() -> None:
    lengths = Lengths()
    lengths.learn(SHORT, "first", 5000.0)
    for number in range(REMEMBERED):
        lengths.learn(SHORT, str(number), 1.0)
    assert lengths.expect(SHORT, "first") < 2.0
    assert lengths.expect(SHORT, "0") == 1.0
