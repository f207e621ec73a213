"""What a keeper that is there lacks of the mounts that are configured by now."""

from __future__ import annotations

from typing import Any

import pytest

from runner.doctor import Verdict
from runner.doctor.keeper_mounts import judged
from runner.executors.local import failures
from runner.executors.local.mounts import lacking

OPTIONS = ("--allow-none", "--mounts", "/srv/a,/srv/b:rw,/srv/c/d")


@pytest.mark.parametrize(
    ("mounts", "missing"),
    [
        ({"/srv/a": False, "/srv/b": True, "/srv/c": False}, []),
        ({"/": True}, []),
        ({"/srv/a": True, "/srv/b": False, "/srv/c/d": False}, ["/srv/b:rw"]),
        ({"/srv/ab": False, "/srv/b": True, "/srv/c/d/e": False}, ["/srv/a", "/srv/c/d"]),
        ({}, ["/srv/a", "/srv/b:rw", "/srv/c/d"]),
    ],
)
def test_what_lies_nowhere_below_what_it_may_mount_is_lacking(
    mounts: dict[str, bool], missing: list[str]
) -> None:
    assert lacking(OPTIONS, {"uid": 0, "mounts": mounts}) == missing


@pytest.mark.parametrize("welcome", [{"uid": 0}, {"uid": 1000, "mounts": {}}])
def test_one_that_says_nothing_or_asks_nobody_lacks_nothing(welcome: dict[str, Any]) -> None:
    assert lacking(OPTIONS, welcome) == []
    assert lacking((), {"uid": 0, "mounts": {}}) == []


@pytest.mark.parametrize(
    ("uid", "words", "verdict"),
    [
        (0, ("--mounts", "/srv/a,/srv/b:rw"), Verdict.OK),
        (0, ("--mounts=/srv", "--mounts=/srv:rw"), Verdict.OK),
        (0, ("--mounts", "/srv/a,/srv/b"), Verdict.WARN),
        (0, ("--detach",), Verdict.WARN),
        (1000, ("--detach",), Verdict.OK),
    ],
)
def test_the_doctor_reads_it_from_the_keepers_command_line(
    uid: int, words: tuple[str, ...], verdict: Verdict
) -> None:
    line = ["python", "-m", "runner.keeper", "--root", "/k", *words, ""]
    finding = judged(uid, line, ["/srv/a", "/srv/b:rw"])
    assert finding.verdict is verdict
    assert ("python.wheel_houses" in finding.remedy) is (verdict is Verdict.WARN)


def test_a_task_that_it_keeps_from_starting_says_which_keys_are_meant() -> None:
    said = "this keeper may not mount /srv/wheels (see --mounts)"
    assert "python.wheel_houses" in failures.of_keeper(said).message
    assert "python" not in failures.of_keeper("it has no room").message
