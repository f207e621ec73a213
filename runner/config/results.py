"""The form of `[results]`: how much tasks may report in files."""

from __future__ import annotations

from runner.config.model import Results
from runner.domain import values
from runner.domain.document import MAX_BYTES
from runner.domain.shape import Field, Quantity, Record

_LEAST = 1024
_LONGEST_LINE = 256 * 1024  # a keeper keeps some lines of that length, and no more

RESULTS = Record(
    {
        "size": Field(
            Quantity(values.size, _LEAST, MAX_BYTES, "bytes"),
            "The largest result file that is taken; of a larger one the task is warned.",
            Results().size,
        ),
        "progress_line": Field(
            Quantity(values.size, _LEAST, _LONGEST_LINE, "bytes"),
            "The longest line of a progress file that is taken.",
            Results().progress_line,
        ),
    },
    Results,
)
