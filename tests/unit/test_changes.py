"""A task taken apart into what changed, and put together again."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from runner.domain.changes import Change, apply, diff
from runner.domain.exit import Exit
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import Attempt, Handle, State, Task, TaskClass

PLAN = Plan(Mode.NATIVE, "local", ("true",), Limits(60, None, 5, 1, 0, 0, 0, 0))
TASK = Task("t1", TaskClass.CPU_SHORT, "d", PLAN, accept_time=1, labels={"a": "b"})
ONE = Attempt(1, "local", "er-x-1", "boot")
TWO = Attempt(2, "local", "er-x-2", "boot")


def there_and_back(before: Task | None, after: Task) -> Task:
    stored = msgspec.json.encode(diff(before, after))
    return apply(before, msgspec.json.decode(stored, type=Change))


def test_a_new_task_is_stored_whole() -> None:
    assert there_and_back(None, TASK) == TASK


def test_only_what_changed_is_in_the_change() -> None:
    before = replace(TASK, state=State.PREPARING, attempts=(ONE, TWO))
    started = replace(TWO, handle=Handle("local", 1, "{}", "4711"), start_time=9)
    after = replace(before, state=State.RUNNING, attempts=(ONE, started), start_time=9)
    assert diff(before, after) == {
        "state": State.RUNNING,
        "attempts": [started],
        "start_time": 9,
    }
    assert there_and_back(before, after) == after


def test_a_failure_that_is_taken_back_is_said() -> None:
    before = replace(TASK, failure=Failure(Reason.LOST, "gone", Fault.SYSTEM), retry_time=5)
    after = replace(before, failure=None, retry_time=0)
    assert diff(before, after) == {"failure": None, "retry_time": 0}
    assert there_and_back(before, after) == after


def test_bytes_of_an_exit_survive() -> None:
    ended = replace(ONE, exit=Exit(1, 2, code=3, stderr_tail=b"\xff\x00"))
    assert there_and_back(TASK, replace(TASK, attempts=(ended,))).attempt == ended


def test_the_sequence_is_the_journals_and_no_change() -> None:
    assert diff(TASK, replace(TASK, sequence=7)) == {}
    assert apply(replace(TASK, sequence=7), {"acknowledged": True}).sequence == 7


def test_what_is_fixed_cannot_change() -> None:
    with pytest.raises(ValueError, match="plan is fixed"):
        diff(TASK, replace(TASK, plan=replace(PLAN, argv=("false",))))
    with pytest.raises(ValueError, match="never taken back"):
        diff(replace(TASK, attempts=(ONE,)), TASK)


def test_a_change_needs_its_task() -> None:
    with pytest.raises(ValueError, match="without the task"):
        apply(None, {"state": State.RUNNING})
    with pytest.raises(ValueError, match="there already"):
        apply(TASK, {"task": TASK})
