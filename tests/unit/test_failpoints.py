"""Failpoints: off unless activated, and exact about when they act."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from runner.failpoints import FailpointHit, activate, failpoint


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    activate("")


def test_a_point_that_nobody_switched_on_does_nothing() -> None:
    failpoint("after_accept")


def test_an_error_is_raised_at_the_pass_that_was_named_and_at_no_other() -> None:
    activate("after_accept:error:2")
    failpoint("after_accept")
    with pytest.raises(FailpointHit, match="after_accept"):
        failpoint("after_accept")
    failpoint("after_accept")


def test_points_are_switched_on_independently() -> None:
    activate("after_exit:sleep:0, after_end:error")
    failpoint("after_exit")
    failpoint("before_end")
    with pytest.raises(FailpointHit):
        failpoint("after_end")


def test_kill_is_sigkill_to_the_process_itself() -> None:
    program = (
        "from runner.failpoints import activate, failpoint\n"
        "activate('after_spawn:kill')\n"
        "failpoint('after_spawn')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("text", ["nowhere:kill", "after_end:explode", "after_end:sleep:soon"])
def test_a_specification_that_makes_no_sense_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="ENV_RUNNER_FAILPOINT"):
        activate(text)
