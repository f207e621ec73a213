"""Sizes, times and cores as people write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain import values
from runner.domain.values import Unreadable

ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text() | st.lists(st.integers())
)


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (1048576, 2**20),
        ("1B", 1),
        ("1KB", 1000),
        ("1MB", 10**6),
        ("1GB", 10**9),
        ("1TB", 10**12),
        ("1KiB", 2**10),
        ("512MiB", 2**29),
        ("1GiB", 2**30),
        ("1TiB", 2**40),
        ("1Ki", 2**10),
        ("1Mi", 2**20),
        ("1Gi", 2**30),
        ("1Ti", 2**40),
        ("1.5KiB", 1536),
        ("-1KiB", -1024),
    ],
)
def test_a_size_is_a_number_of_bytes_or_has_its_unit(written: object, size: int) -> None:
    assert values.size(written) == size


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(45, 45), (Decimal("0.5"), 0.5), ("250ms", 0.25), ("45s", 45), ("1.5m", 90), ("2h", 7200)],
)
def test_a_time_is_a_number_of_seconds_or_has_its_unit(written: object, seconds: float) -> None:
    assert values.seconds(written) == seconds


@pytest.mark.parametrize(
    ("written", "cores"), [(1, 1), (Decimal("1.5"), 1.5), ("500m", 0.5), ("2", 2), ("1.5", 1.5)]
)
def test_cores_are_a_number_or_millicores(written: object, cores: float) -> None:
    assert values.cores(written) == cores


def test_days_are_read_only_where_they_are_asked_for() -> None:
    assert values.seconds("30d", days=True) == 30 * 86400
    with pytest.raises(Unreadable):
        values.seconds("30d")


@pytest.mark.parametrize(
    ("reader", "written", "reason"),
    [
        (values.size, "5", "BAD_NUMBER"),
        (values.size, "", "BAD_NUMBER"),
        (values.size, "5 MiB", "BAD_NUMBER"),
        (values.size, "5mib", "BAD_NUMBER"),
        (values.size, "5M", "BAD_NUMBER"),
        (values.size, "5MiB\n", "BAD_NUMBER"),
        (values.size, "\u0665MiB", "BAD_NUMBER"),
        (values.size, "0x5B", "BAD_NUMBER"),
        (values.size, "1e3B", "BAD_NUMBER"),
        (values.size, "+5B", "BAD_NUMBER"),
        (values.size, "0.5B", "BAD_NUMBER"),
        (values.size, Decimal("1.5"), "BAD_NUMBER"),
        (values.size, "9" * 50_000 + "B", "BAD_NUMBER"),
        (values.size, 10**400, "OUT_OF_RANGE"),
        (values.size, True, "BAD_TYPE"),
        (values.size, None, "BAD_TYPE"),
        (values.seconds, "5", "BAD_NUMBER"),
        (values.seconds, "1h30m", "BAD_NUMBER"),
        (values.seconds, "none", "BAD_NUMBER"),
        (values.seconds, "nan", "BAD_NUMBER"),
        (values.seconds, "5B", "BAD_NUMBER"),
        (values.seconds, Decimal("NaN"), "NOT_FINITE"),
        (values.seconds, Decimal("-Infinity"), "NOT_FINITE"),
        (values.seconds, [1], "BAD_TYPE"),
        (values.cores, "500mm", "BAD_NUMBER"),
        (values.cores, "1s", "BAD_NUMBER"),
        (values.whole, "1", "BAD_TYPE"),
        (values.whole, Decimal("1.5"), "BAD_NUMBER"),
        (values.number, {}, "BAD_TYPE"),
    ],
)
def test_what_is_no_such_value_is_told_by_reason(reader: Any, written: Any, reason: str) -> None:
    with pytest.raises(Unreadable) as caught:
        reader(written)
    assert caught.value.reason == reason
    assert len(caught.value.message) < 200


@given(ANYTHING)
def test_every_reader_reads_or_tells_why(value: Any) -> None:
    for reader in (values.size, values.seconds, values.cores, values.whole, values.number):
        try:
            amount = reader(value)
        except Unreadable:
            continue
        assert -1e25 < amount < 1e25


@given(st.integers(0, 10**9), st.sampled_from([("Ki", 10), ("Mi", 20), ("GiB", 30)]))
def test_a_size_with_a_unit_is_exact(count: int, unit: tuple[str, int]) -> None:
    assert values.size(f"{count}{unit[0]}") == count << unit[1]
