"""What is missing of an attempt's output is told, and where nobody knows how much, that too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.domain.exit import Exit, Kept, Usage
from runner.engine.api import OutputGap
from runner.engine.attempt_output import _gap
from runner.ports import Position
from tests.support.tasks import RUNNING

SIZES = Position(10, 5)


@pytest.mark.parametrize(
    ("usage", "kept", "gap"),
    [
        (Usage(stdout_bytes=10), Kept(10, 5), None),
        (Usage(stdout_bytes=30), Kept(10, 5, "output limit"), OutputGap(20, "output limit")),
        (
            Usage(stdout_bytes=10),
            Kept(10, 5, "it was cut", unknown=True),
            OutputGap(0, "it was cut"),
        ),
    ],
)
def test_a_gap_tells_how_much_and_why(usage: Usage, kept: Kept, gap: OutputGap | None) -> None:
    attempt = replace(RUNNING.attempt, exit=Exit(1, 2, code=0, usage=usage, kept=kept), end_time=3)
    assert _gap(attempt, 1, SIZES) == gap
