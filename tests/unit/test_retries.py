"""The budget for retries of the whole runner."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.planning.retries import RetryBudget

GAPS = st.lists(st.floats(0, 20), min_size=1, max_size=60)


@given(GAPS, st.floats(0.1, 50), st.integers(1, 20))
def test_in_no_stretch_of_time_are_there_more_than_burst_and_rate_allow(
    gaps: list[float], rate: float, burst: int
) -> None:
    budget, now = RetryBudget(rate, burst), 0.0
    times: list[float] = []
    for gap in gaps:
        now += gap
        now += budget.wait(now)
        budget.spend(now)
        times.append(now)
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            allowed = burst + rate * (times[last] - begin)
            assert last - first + 1 <= allowed + 1e-3


@given(GAPS, st.floats(0.1, 50), st.integers(1, 20))
def test_nobody_waits_for_longer_than_one_token_takes_and_then_there_is_one(
    gaps: list[float], rate: float, burst: int
) -> None:
    budget, now = RetryBudget(rate, burst), 0.0
    for gap in gaps:
        now += gap
        wait = budget.wait(now)
        assert 0 <= wait <= 1 / rate + 1e-5
        now += wait
        assert budget.wait(now) == 0
        budget.spend(now)


def test_after_a_quiet_time_so_many_go_at_once_and_no_more() -> None:
    budget = RetryBudget(2.0, 3)
    for _ in range(3):
        assert budget.wait(1000.0) == 0
        budget.spend(1000.0)
    assert budget.wait(1000.0) == 0.5
    assert budget.wait(1000.25) == 0.25
    assert budget.wait(999.0) == 0.25  # a time that was before is no time that passes
