"""Sharing by weight, in virtual time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runner.planning.shares import REMEMBERED, Shares

COSTS = st.lists(st.floats(0.01, 100), min_size=2, max_size=6)


@given(COSTS, st.integers(1, 200))
def test_at_any_time_nobody_who_waits_is_more_than_one_start_from_its_share(
    costs: list[float], starts: int
) -> None:
    shares = Shares()
    had = dict.fromkeys(map(str, range(len(costs))), 0.0)
    for owner in had:
        shares.enter(owner)
    for _ in range(starts):
        owner = min(had, key=lambda each: (shares.tag(each), each))
        shares.charge(owner, costs[int(owner)])
        had[owner] += costs[int(owner)]
        for one in had:
            for other in had:
                gap = had[one] - had[other]
                assert gap <= costs[int(one)] + costs[int(other)] + 1e-6


@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(0.01, 100))
def test_who_comes_anew_is_next_but_one_at_the_latest(
    before: int, cost: float, other: float
) -> None:
    shares = Shares()
    shares.enter("busy")
    for _ in range(before):
        shares.charge("busy", cost)
    shares.enter("new")
    if shares.tag("busy") <= shares.tag("new"):
        shares.charge("busy", cost)
    assert shares.tag("new") < shares.tag("busy")
    shares.charge("new", other)


def test_having_been_away_is_worth_nothing() -> None:
    shares = Shares()
    shares.enter("a")
    shares.enter("b")
    shares.leave("b")
    for _ in range(1000):
        shares.charge("a", 1.0)
    shares.enter("b")
    assert shares.tag("b") == shares.tag("a") - 1


def test_to_leave_and_come_back_does_not_pay_what_is_owed() -> None:
    shares = Shares()
    shares.enter("a")
    shares.enter("b")
    shares.charge("b", 1.0)
    shares.leave("b")
    shares.enter("b")
    assert shares.tag("b") == 1.0
    assert shares.tag("a") == 0.0


def test_whoever_owes_nothing_is_forgotten_and_of_many_who_do_only_so_many_are_remembered() -> None:
    shares = Shares()
    shares.enter("a")
    shares.enter("b")
    shares.leave("b")
    assert len(shares) == 1
    for number in range(REMEMBERED + 500):
        shares.enter(str(number))
        shares.charge(str(number), 1.0)
        shares.leave(str(number))
    assert len(shares) <= REMEMBERED + 1
    shares.charge("a", 1.0)
    shares.charge("a", 1.0)
    assert len(shares) == 1
    shares.clear()
    assert len(shares) == 0
