"""Every cell of the lifecycle machine is decided, and each rule leads where its cell says."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from runner.domain import events as e
from runner.domain.exit import Exit
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.lifecycle import IGNORED, TRANSITIONS, IllegalEvent, Phase, handle, phase_of
from runner.domain.plan import Artifact
from runner.domain.task import Cancel, Progress, State, Task
from tests.support.tasks import BACKOFF, HANDLE, PREPARING, RUNNING, WAITING, a_plan

DONE = Exit(start_time=5, exit_time=7, code=0)
EVENTS: dict[type[e.Event], e.Event] = {
    e.Resumed: e.Resumed(20, "boot-1"),
    e.Granted: e.Granted(20, "er-x-9", "boot-1"),
    e.Launched: e.Launched(20, 1, HANDLE, 20),
    e.Adopted: e.Adopted(20, 1, HANDLE, 20),
    e.NotStarted: e.NotStarted(20, 1),
    e.LaunchFailed: e.LaunchFailed(20, 1, Failure(Reason.START, "no", Fault.TASK)),
    e.Exited: e.Exited(20, 1, DONE),
    e.Finalized: e.Finalized(20, 1),
    e.GpuLost: e.GpuLost(20, 1, "its GPU was lost"),
    e.Progressed: e.Progressed(20, 1, Progress(0.5)),
    e.Warned: e.Warned(20, 1, "its result was not taken: it is empty"),
    e.RetryDue: e.RetryDue(20),
    e.CancelRequested: e.CancelRequested(20),
    e.Acknowledged: e.Acknowledged(20),
}
STORING = a_plan(outputs=(Artifact("out"),))
FINALIZING = replace(
    RUNNING,
    state=State.FINALIZING,
    plan=STORING,
    attempts=(replace(RUNNING.attempt, exit=DONE),),
)
TASKS: dict[Phase, Task] = {
    Phase.WAITING: WAITING,
    Phase.BACKOFF: BACKOFF,
    Phase.PREPARING: PREPARING,
    Phase.RUNNING: RUNNING,
    Phase.FINALIZING: FINALIZING,
    Phase.ENDED: replace(FINALIZING, state=State.COMPLETED, end_time=9),
}
IMPOSSIBLE = {
    Phase.WAITING: "Launched Adopted NotStarted LaunchFailed Exited Finalized RetryDue",
    Phase.BACKOFF: "Granted Launched Adopted NotStarted LaunchFailed Exited Finalized",
    Phase.PREPARING: "Granted Finalized RetryDue",
    Phase.RUNNING: "Granted Launched LaunchFailed Finalized RetryDue",
    Phase.FINALIZING: "Granted Launched Adopted NotStarted LaunchFailed Exited RetryDue",
    Phase.ENDED: "Launched Adopted NotStarted LaunchFailed Exited Finalized",
}
FROM_OUTSIDE = (e.CancelRequested, e.Acknowledged, e.Resumed)
CELLS = list(product(Phase, get_args(e.Event)))


def test_the_examples_stand_where_they_say() -> None:
    assert {phase_of(task): task for task in TASKS.values()} == TASKS
    assert set(EVENTS) == set(get_args(e.Event))


def test_every_cell_is_in_exactly_one_place() -> None:
    impossible = {(phase, name) for phase, names in IMPOSSIBLE.items() for name in names.split()}
    for phase, kind in CELLS:
        places = [
            (phase, kind) in TRANSITIONS,
            (phase, kind) in IGNORED,
            (phase, kind.__name__) in impossible,
        ]
        assert sum(places) == 1, f"{kind.__name__} while {phase}: {places}"


@pytest.mark.parametrize("kind", FROM_OUTSIDE)
@pytest.mark.parametrize("phase", Phase)
def test_what_comes_from_outside_is_answered_in_every_phase(
    phase: Phase, kind: type[e.Event]
) -> None:
    handle(TASKS[phase], EVENTS[kind])


@pytest.mark.parametrize(("phase", "kind"), CELLS)
def test_each_cell_does_what_the_tables_say(phase: Phase, kind: type[e.Event]) -> None:
    task, event = TASKS[phase], EVENTS[kind]
    if (phase, kind) in TRANSITIONS:
        transition = handle(task, event)
        assert phase_of(transition.task) in TRANSITIONS[phase, kind].to
        last = transition.steps[-1].task if transition.steps else task
        assert transition.task == last
    elif (phase, kind) in IGNORED:
        transition = handle(task, event)
        assert (transition.task, transition.steps, transition.effects) == (task, (), ())
    else:
        with pytest.raises(IllegalEvent, match=kind.__name__):
            handle(task, event)


def test_word_of_another_attempt_is_a_defect_but_for_what_comes_late() -> None:
    assert handle(RUNNING, e.Progressed(20, 7, Progress(0.5))).steps == ()
    assert handle(RUNNING, e.GpuLost(20, 7, "its GPU was lost")).steps == ()
    with pytest.raises(IllegalEvent, match="attempt 7"):
        handle(RUNNING, e.Exited(20, 7, DONE))


def test_a_cancelled_example_of_each_phase_still_answers_a_cancel() -> None:
    for task in (PREPARING, RUNNING):
        asked = replace(task, cancel=Cancel(3))
        assert handle(asked, e.CancelRequested(20)).steps == ()
