"""What becomes of an attempt whose GPU is lost: it is stopped, and the first verdict stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from runner.domain import effects as do
from runner.domain import events as e
from runner.domain.exit import Exit, Stopped
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.lifecycle import handle
from runner.domain.plan import Artifact
from runner.domain.task import State, Task
from runner.domain.transition import Transition
from tests.support.tasks import HANDLE, PREPARING, RUNNING, WAITING, a_plan, retrying

LOST = e.GpuLost(20, 1, "its GPU GPU-a was lost: it fell off the bus")
KILLED = Exit(start_time=5, exit_time=7, signal=15, stopped=Stopped.REQUESTED, stderr_tail=b"Xid")
GPU_LOST = Failure(Reason.GPU_LOST, LOST.message, Fault.SYSTEM, retryable=True)


def lost(task: Task) -> Task:
    return handle(task, LOST).task


def ended(task: Task, exit_: Exit = KILLED) -> Transition:
    return handle(task, e.Exited(30, 1, exit_, 0.5))


def reason(task: Task) -> str | None:
    return task.failure.reason if task.failure else None


def test_the_lease_is_stored_with_the_intent_to_launch() -> None:
    begun = handle(WAITING, e.Granted(20, "er-x-1", "boot-1", ("GPU-a",)))
    assert begun.steps[0].task.attempt.gpu_uuids == ("GPU-a",)
    assert begun.effects == (do.Launch(1),)


def test_it_is_asked_to_end_and_that_is_stored_first() -> None:
    transition = handle(RUNNING, LOST)
    assert transition.steps[-1].task.attempt.failure == GPU_LOST
    assert transition.effects == (do.Stop(1, RUNNING.plan.limits.grace),)
    assert transition.task.state is State.RUNNING


def test_the_second_word_of_it_changes_nothing() -> None:
    assert handle(lost(RUNNING), replace(LOST, message="again")).steps == ()


@pytest.mark.parametrize("exit_", [KILLED, replace(KILLED, signal=None, code=0, stopped=None)])
def test_however_it_then_ends_it_failed_for_its_gpu(exit_: Exit) -> None:
    task = ended(lost(RUNNING), exit_).task
    assert task.state is State.FAILED
    assert task.failure == replace(GPU_LOST, stderr_tail="Xid")


def test_what_timed_out_before_has_timed_out() -> None:
    assert reason(ended(lost(RUNNING), replace(KILLED, stopped=Stopped.WALL_TIME)).task) == (
        "TIMED_OUT"
    )


def test_an_end_that_cannot_be_learned_is_told_as_that() -> None:
    unknown = Exit(start_time=5, exit_time=7, lost="the keeper died")
    task = replace(RUNNING, plan=retrying("GPU_LOST"))
    assert reason(ended(lost(task), unknown).task) == "LOST"


def test_what_was_cancelled_before_is_cancelled() -> None:
    cancelled = handle(RUNNING, e.CancelRequested(10)).task
    assert handle(cancelled, LOST).steps == ()
    assert ended(lost(cancelled)).task.state is State.CANCELLED


def test_a_cancel_afterwards_keeps_it_from_being_tried_again_and_not_from_having_failed() -> None:
    task = handle(lost(replace(RUNNING, plan=retrying("GPU_LOST"))), e.CancelRequested(25)).task
    assert reason(ended(task).task) == "GPU_LOST"


def test_it_is_tried_again_only_where_the_payload_names_it() -> None:
    again = ended(lost(replace(RUNNING, plan=retrying("GPU_LOST"))))
    assert again.task.state is State.PENDING
    assert again.task.attempt.failure == replace(GPU_LOST, stderr_tail="Xid")
    assert ended(lost(replace(RUNNING, plan=retrying("EXIT_CODE")))).task.state is State.FAILED


def test_the_verdict_stands_while_its_outputs_are_stored() -> None:
    storing = a_plan(outputs=(Artifact("out"),))
    task = ended(lost(replace(RUNNING, plan=storing)), replace(KILLED, signal=None, code=0)).task
    assert task.state is State.FINALIZING
    assert reason(handle(task, e.Finalized(40, 1)).task) == "GPU_LOST"


def test_one_that_is_being_launched_is_stopped_as_soon_as_it_is_there() -> None:
    noted = handle(PREPARING, LOST)
    assert noted.effects == ()
    running = handle(noted.task, e.Launched(25, 1, HANDLE, 25))
    assert running.effects == (do.Await(1), do.Stop(1, PREPARING.plan.limits.grace))


def test_one_that_was_given_up_before_its_start_is_tried_again_by_itself() -> None:
    gave_up = Failure(Reason.EXECUTOR, "nobody wants it any more", Fault.SYSTEM)
    task = handle(lost(PREPARING), e.LaunchFailed(25, 1, gave_up, 0.5)).task
    assert task.state is State.PENDING
    assert task.attempt.failure == GPU_LOST


def test_a_restart_asks_again_for_the_end_and_launches_nothing_without_a_gpu() -> None:
    found = handle(lost(RUNNING), e.Adopted(30, 1, HANDLE, 5))
    assert found.effects == (do.Await(1), do.Stop(1, RUNNING.plan.limits.grace))
    not_begun = handle(lost(PREPARING), e.NotStarted(30, 1, 0.5))
    assert do.Launch(1) not in not_begun.effects
    assert not_begun.task.state is State.PENDING
