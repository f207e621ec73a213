"""The line that tells how a task stands: in nobody's way, and gone in the end."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.cli import terminal
from runner.cli.live import Line, standing
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.terminals import screen


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")


def a_task(**fields: object) -> v1.Task:
    task = v1.Task(task_id="train-7", state=v1.TASK_STATE_RUNNING, **fields)  # type: ignore[arg-type]  # passed through
    task.start_time.FromSeconds(1000)
    return task


def test_it_says_state_time_and_progress() -> None:
    assert standing(a_task(), 1012.7) == "train-7  running 12s"
    assert standing(a_task(), 1135.0) == "train-7  running 2m15s"
    task = a_task(progress=v1.Progress(fraction=0.4, step="epoch 2", message="loss\x1b[2J 0.1"))
    said = "train-7  running 1s  [########------------] 40%  epoch 2  loss\\x1b[2J 0.1"
    assert standing(task, 1001.0) == said


def test_it_says_what_is_tried_again() -> None:
    task = v1.Task(task_id="a", state=v1.TASK_STATE_PENDING)
    task.failure.message = "it exited with code 7"
    assert standing(task, 0.0) == "a  pending 0s  to be tried again: it exited with code 7"


@given(st.lists(st.sampled_from([b"a", b"b\n", b"\n", b"c\nd", b""])))
def test_what_is_printed_stays_as_it_was(parts: list[bytes]) -> None:
    written = Terminal()
    line = Line(written)
    for part in parts:
        line.show(a_task())
        line.hide()
        written.write(part.decode())
        line.printed(part)
    line.show(a_task())
    line.hide()
    assert screen(written.getvalue()) == b"".join(parts).decode()


def test_it_is_no_longer_than_the_terminal_is_wide() -> None:
    written = Terminal()
    Line(written).show(a_task(progress=v1.Progress(message="x" * 200)))
    assert len(screen(written.getvalue())) == 59


def test_where_there_is_no_terminal_there_is_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    Line(written).show(a_task())
    assert written.getvalue() == ""
    monkeypatch.setenv("TERM", "dumb")
    assert not Line(Terminal()).wanted


def test_a_note_comes_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    written = Terminal()
    monkeypatch.setattr("sys.stderr", written)
    monkeypatch.setenv("NO_COLOR", "1")
    line = Line()
    with terminal.stepping_aside(line.hide):
        line.show(a_task())
        terminal.note("SIGINT: stopping the task")
    assert screen(written.getvalue()) == "env-runner: SIGINT: stopping the task\n"
