"""What a case found: a value, what it is held against, and what it should reach."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table.

    Where there is a `baseline` (in the same unit), the target is for `value / baseline`; else
    for the value itself. `spread` is the lowest and highest of what `value` was made from.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    baseline: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    @property
    def score(self) -> float:
        return self.value / self.baseline if self.baseline else self.value

    @property
    def target(self) -> str:
        unit = "x" if self.baseline else f" {self.unit}"
        if self.at_most is not None:
            return f"at most {self.at_most:g}{unit}"
        return f"at least {self.at_least:g}{unit}" if self.at_least is not None else ""

    @property
    def reached(self) -> bool | None:
        """None where there is no target."""
        if self.at_most is not None:
            return self.score <= self.at_most
        return self.score >= self.at_least if self.at_least is not None else None

    def facts(self) -> dict[str, object]:
        return {**self.__dict__, "score": self.score, "reached": self.reached}


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> tuple[float, float]:
    return percentile(values, 0.05), percentile(values, 0.95)
