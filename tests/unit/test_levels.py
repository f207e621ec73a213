"""Which sandbox a keeper's tasks get, and what the executor says of it."""

from __future__ import annotations

from typing import Any

import pytest

from runner.executors.local.levels import choose, readiness
from runner.executors.local.options import keeper_options

NO_BWRAP = "bubblewrap is not installed"


def a_welcome(uid: int = 0, users: str = "2000-2999", **refused: str) -> dict[str, Any]:
    """What a keeper says that can hold everything but what is refused."""
    return {
        "uid": uid,
        "users": users,
        "levels": {"strict": "", "standard": "", "none": "", **refused},
        "held": {"memory": "", "cpu": "", "processes": "", "disk": ""},
        "mode": "cgroup2",
        "version": "0.1.0",
        "notes": ["a note"],
    }


@pytest.mark.parametrize(
    ("welcome", "level"),
    [
        (a_welcome(), "strict"),
        (a_welcome(strict=NO_BWRAP), "standard"),
        (a_welcome(1000, ""), "strict"),
        (a_welcome(1000, "", strict=NO_BWRAP, standard="not root"), "none"),
    ],
)
def test_the_best_that_can_be_held_is_taken(welcome: dict[str, Any], level: str) -> None:
    choice = choose(welcome)
    assert (choice.level, choice.problem) == (level, "")
    assert choice.why.startswith("the best that this host can hold")
    assert (NO_BWRAP in choice.why) is bool(welcome["levels"]["strict"])


def test_a_keeper_that_is_root_does_without_a_sandbox_only_where_that_is_named() -> None:
    welcome = a_welcome(strict=NO_BWRAP, standard="no users")
    assert choose(welcome).level == ""
    assert "only where the configuration names it" in choose(welcome).problem
    assert choose(welcome, "none").level == "none"


@pytest.mark.parametrize("level", ["strict", "standard", "none"])
def test_what_is_named_and_can_not_be_held_is_a_problem_and_nothing_else_is_taken(
    level: str,
) -> None:
    assert choose(a_welcome(), level).why == "the configuration names it"
    said = readiness(a_welcome(**{level: "it is so"}), level, None)
    assert not said.ready
    assert said.level == ""
    assert said.problem == f"sandbox {level} is configured and cannot be held: it is so"


def test_standard_needs_users_of_the_keeper_or_one_that_is_named() -> None:
    lacking = a_welcome(users="", strict=NO_BWRAP)
    assert choose(lacking).level == ""
    assert choose(lacking, task_user=(64_001, 64_001)).level == "standard"


@pytest.mark.parametrize(
    ("uid", "level", "task_user", "user"),
    [
        (0, "strict", None, "2000-2999"),
        (0, "strict", (64_001, 64_001), "2000-2999"),
        (0, "standard", None, "2000-2999"),
        (0, "standard", (64_001, 64_001), ""),  # the configuration's own word for it
        (0, "none", (64_001, 64_001), ""),
        (0, "none", None, "root"),
        (3_999_999, "strict", None, "3999999"),
    ],
)
def test_as_whom_tasks_run_is_told(
    uid: int, level: str, task_user: tuple[int, int] | None, user: str
) -> None:
    said = readiness(a_welcome(uid, "2000-2999" if uid == 0 else ""), level, task_user)
    assert (said.ready, said.level, said.user) == (True, level, user)
    assert ("a user of its own" in said.notes[0]) is ("-" in user)


def test_a_user_that_is_named_and_not_used_is_told() -> None:
    said = readiness(a_welcome(), "strict", (64_001, 64_001))
    assert any(note.startswith("executors.local.user: not used") for note in said.notes)
    said = readiness(a_welcome(), "standard", (64_001, 64_001))
    assert not any("not used" in note for note in said.notes)


def test_limits_that_can_not_be_held_are_told_with_why() -> None:
    welcome = a_welcome()
    welcome["held"]["cpu"] = "no controller"
    assert readiness(welcome, "", None).unheld == {"cpu": "no controller"}


def test_the_version_that_is_told_names_the_sandbox() -> None:
    assert "sandbox strict (the best" in readiness(a_welcome(), "", None).version


def test_a_keeper_is_started_with_what_is_configured() -> None:
    assert keeper_options("", None, "2000-2999", None, (), root=False) == ()
    assert keeper_options("", None, "2000-2999", None, (), root=True) == (
        "--task-users",
        "2000-2999",
    )
    assert keeper_options(
        "none", (5, 6), "2000-2999", ("/usr", "/opt"), [("/srv", False)], root=True
    ) == (
        "--allow-users",
        "5",
        "--task-users",
        "2000-2999",
        "--view",
        "/usr:/opt",
        "--mounts",
        "/srv",
        "--allow-none",
    )
