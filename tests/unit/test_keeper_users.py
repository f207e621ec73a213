"""The pool of users: each in its turn, none that is held, and no range that is not for tasks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.keeper.users import Exhausted, Pool

FIRST = 2_100_000_000
held = st.sets(st.integers(FIRST - 2, FIRST + 12))


@given(st.integers(0, 9), st.lists(held, max_size=20))
def test_one_that_is_not_held_is_given_and_the_longest_not_given_first(
    length: int, rounds: list[set[int]]
) -> None:
    pool = Pool(FIRST, FIRST + length)
    given_at = dict.fromkeys(range(FIRST, FIRST + length + 1), -1)
    for number, taken in enumerate(rounds):
        free = [uid for uid in given_at if uid not in taken]
        if not free:
            with pytest.raises(Exhausted):
                pool.free(taken)
            continue
        uid, gid = pool.free(taken)
        assert uid == gid
        assert uid in free
        if not any(taken & given_at.keys() for taken in rounds):
            assert given_at[uid] == min(given_at.values())
        given_at[uid] = number


def test_it_is_said_as_it_was_given() -> None:
    pool = Pool.parse("2100000000-2100000999")
    assert str(pool) == "2100000000-2100000999"
    assert pool.last == (FIRST + 999, FIRST + 999)
    assert FIRST in pool
    assert FIRST + 999 in pool
    assert FIRST + 1000 not in pool


@given(st.text(max_size=20) | st.from_regex(r"[0-9]{1,11}-[0-9]{1,11}", fullmatch=True))
def test_a_text_is_a_range_for_tasks_or_is_refused(text: str) -> None:
    try:
        pool = Pool.parse(text)
    except ValueError:
        return
    uid, gid = pool.free(())
    assert 1000 <= uid == gid < 2**32 - 1


@pytest.mark.parametrize(
    "text", ["0-10", "999-1000", "5000-4999", "1000", "1000-", "1000-4294967295"]
)
def test_no_range_reaches_root_or_the_system(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        Pool.parse(text)
