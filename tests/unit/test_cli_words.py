"""Values as people read them, and the exit codes that tasks' ends come to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cli import exits, terminal, words
from runner.cli.cancel import read_grace
from runner.cli.exits import Code, Failed
from supervisor.v1 import supervisor_pb2 as v1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0s"),
        (0.25, "0.25s"),
        (0.0123456, "0.0123s"),
        (9.876, "9.88s"),
        (45, "45s"),
        (45.25, "45.2s"),
        (119, "119s"),
        (135, "2m15s"),
        (900, "15m"),
        (7200, "2h"),
        (7260, "121m"),
    ],
)
def test_seconds_are_said_as_people_say_them(value: float, said: str) -> None:
    assert words.seconds(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (64 * 2**20, "64MiB"),
        (3 * 2**29, "1.5GiB"),
        (5 * 2**40, "5TiB"),
    ],
)
def test_sizes_are_said_in_the_largest_unit_below_them(value: int, said: str) -> None:
    assert words.size(value) == said


def ended(reason: int = 0, state: int = v1.TASK_STATE_FAILED, **attempt: int) -> v1.Task:
    task = v1.Task(state=state, attempts=[v1.Attempt(number=1, **attempt)])  # type: ignore[arg-type]
    if reason:
        task.failure.reason = reason  # type: ignore[assignment] # a number of that enum
    return task


@pytest.mark.parametrize(
    ("task", "code"),
    [
        (ended(state=v1.TASK_STATE_COMPLETED, exit_code=0), 0),
        (ended(v1.FAILURE_REASON_EXIT_CODE, exit_code=7), 7),
        (ended(v1.FAILURE_REASON_SIGNAL, signal=9), 137),
        (ended(v1.FAILURE_REASON_OUT_OF_MEMORY, signal=9), 137),
        (ended(v1.FAILURE_REASON_TIMED_OUT, signal=15), 124),
        (ended(v1.FAILURE_REASON_TIMED_OUT, exit_code=0), 124),
        (ended(v1.FAILURE_REASON_START), 127),
        (ended(v1.FAILURE_REASON_LOST), 125),
        (ended(v1.FAILURE_REASON_EXECUTOR), 125),
        (ended(v1.FAILURE_REASON_OUTPUT, exit_code=0), 125),
        (ended(state=v1.TASK_STATE_CANCELLED, exit_code=0), 130),
        (ended(state=v1.TASK_STATE_CANCELLED, signal=9), 130),
    ],
)
def test_a_command_ends_as_its_task_did(task: v1.Task, code: int) -> None:
    assert exits.of_task(task) == code


@pytest.mark.parametrize(
    ("text", "value"), [("5s", 5.0), ("500ms", 0.5), ("2m", 120.0), ("3", 3.0), ("0.5", 0.5)]
)
def test_a_grace_is_a_time_or_a_number_of_seconds(text: str, value: float) -> None:
    assert read_grace(text) == value


@pytest.mark.parametrize("text", ["", "soon", "5 s", "-1s", "nan", "1e3", "."])
def test_what_is_no_grace_is_a_fault_of_usage(text: str) -> None:
    with pytest.raises(Failed) as refused:
        read_grace(text)
    assert refused.value.code == Code.USAGE


@given(st.text())
def test_text_of_tasks_cannot_steer_a_terminal(text: str) -> None:
    assert terminal.safe(text).isprintable()
