"""Plans of mode python: by which interpreter, in a container or not, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from runner.domain.plan import Mode, PythonPlan
from runner.domain.refusal import Code
from runner.planning.policy import Engine, Policy, Rules, stays
from tests.support.payloads import on, planned, refusal, some_rules

CALL = {"entry_point": "jobs.embed:main", "arguments": {"model": "small"}}
IMAGE = "r.example/py:1"
THERE = {"/opt/p/python3": "3.12.1", "/usr/bin/python3.11": "3.11.2", "/usr/bin/python3.1": "3.1.5"}
BOTH = frozenset({Mode.DOCKER, Mode.PYTHON})


def python(execution: dict[str, Any] | None = None, **call: Any) -> dict[str, Any]:
    return {"execution": {"python": call or CALL, **(execution or {})}}


def boxed(**call: Any) -> dict[str, Any]:
    return python({"image": IMAGE}, **call)


def by(**host: Any) -> Rules:
    """Of a runner with interpreters, and with two engines of which the second is ready."""
    disk = {"disk": "a directory of this host"}
    made = some_rules(Policy(images=("r.example/*",)))
    return on(
        made,
        **{
            "executors": {
                "local": frozenset({Mode.NATIVE, Mode.PYTHON}), "docker": BOTH, "podman": BOTH,
            },
            "engines": {
                "docker": Engine(ready=False, user="65534:65534", unheld=disk),
                "podman": Engine(ready=True, user="1000:1000", unheld=disk),
            },
            "interpreters": THERE,
            "level": "strict",
            "strays": stays,
            **host,
        },
    )  # fmt: skip


@pytest.mark.parametrize(
    ("version", "path", "found"),
    [
        ("", "/opt/p/python3", "3.12.1"),
        ("3.12", "/opt/p/python3", "3.12.1"),
        ("3.11", "/usr/bin/python3.11", "3.11.2"),
        ("3.11.2", "/usr/bin/python3.11", "3.11.2"),
        ("3.1", "/usr/bin/python3.1", "3.1.5"),  # of which 3.12 and 3.11 are none
    ],
)
def test_the_first_interpreter_of_the_version_that_is_asked_for_is_taken(
    version: str, path: str, found: str
) -> None:
    asked = {"python": version} if version else {}
    plan = planned(python(**CALL, **asked), by=by())
    assert plan.argv == (path, "jobs.embed:main")
    assert plan.python == PythonPlan("jobs.embed:main", (), found)
    assert f"python: jobs.embed:main, by {path} ({found})" in "\n".join(plan.decisions)
    assert (plan.executor, plan.mode, plan.image) == ("local", Mode.PYTHON, "")


@pytest.mark.parametrize("version", ["3.9", "3.11.3", "3.2"])
def test_where_there_is_none_of_that_version_those_there_are_are_told(version: str) -> None:
    error = refusal(python(**CALL, python=version), by=by())
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "NO_INTERPRETER")
    assert error.violations[0].field == "/execution/python/python"
    for path, there in THERE.items():
        assert f"{there} ({path})" in error.message


def test_a_runner_without_any_says_what_it_lacks() -> None:
    error = refusal(python(), by=by(interpreters={}, executors={"local": frozenset({Mode.NATIVE})}))
    assert error.reason == "NO_EXECUTOR"
    assert "for want of an interpreter (python.interpreters)" in error.message


def test_what_is_required_is_planned_where_environments_can_be_made_and_refused_elsewhere() -> None:
    payload = python(**CALL, requirements=["numpy==2.*"])
    plan = planned(payload, by=by(no_environments=""))
    assert plan.python is not None
    assert plan.python.requirements == ("numpy==2.*",)
    error = refusal(payload, by=by(no_environments="uv is not there"))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "NO_ENVIRONMENT")
    assert "uv is not there" in error.message


def test_neither_script_nor_arguments_are_in_the_plan() -> None:
    """They may be a mebibyte, and a plan is read and written with each event."""
    plan = planned(python(script="hidden = 1"), by=by())
    assert plan.argv == ("/opt/p/python3", "script.py")
    assert "hidden" not in repr(plan)
    assert "small" not in repr(planned(python(), by=by()))


def test_with_an_image_it_runs_in_the_first_engine_that_is_ready_by_the_images_python() -> None:
    plan = planned(boxed(**CALL), by=by())
    assert (plan.mode, plan.executor, plan.image) == (Mode.PYTHON, "podman", IMAGE)
    assert plan.argv == ("python3", "jobs.embed:main")
    assert plan.python == PythonPlan("jobs.embed:main")
    assert (plan.level, plan.user, plan.network) == ("", "1000:1000", "none")
    assert planned(boxed(**CALL, python="3.9"), by=by()).argv[0] == "python3.9"


def test_an_image_needs_its_grant_also_in_mode_python() -> None:
    payload = python({"image": "other.example/py:1"})
    assert refusal(payload, by=by()).reason == "IMAGE_DENIED"


def test_an_image_has_what_it_has_and_which_patch_of_python_is_its_own() -> None:
    error = refusal(boxed(**CALL, requirements=["a"], python="3.11.2"), by=by(no_environments=""))
    assert [(one.field, one.reason) for one in error.violations] == [
        ("/execution/python/requirements", "CONFLICT"),
        ("/execution/python/python", "CONFLICT"),
    ]


def test_an_image_that_its_executor_does_not_use_is_told_and_not_in_the_plan() -> None:
    plan = planned(python({"image": IMAGE, "executor": "local"}), by=by())
    assert plan.image == ""
    assert "execution.image: not used by executor local" in plan.decisions


def test_a_working_directory_is_absolute_in_a_container_alone() -> None:
    inside = {"image": IMAGE, "working_dir": "/data"}
    assert planned(python(inside), by=by()).working_dir == "/data"
    assert planned(python({"image": IMAGE, "working_dir": "a/b"}), by=by()).working_dir == "a/b"
    error = refusal(python({**inside, "executor": "local"}), by=by())
    assert [(one.field, one.reason) for one in error.violations] == [
        ("/execution/working_dir", "BAD_PATH")
    ]


@pytest.mark.parametrize("of_class", ["docker", "podman"])
def test_a_class_of_containers_runs_what_has_no_image_on_the_host(of_class: str) -> None:
    rules = by()
    made = some_rules(rules.policy, ENV_RUNNER_CLASSES__CPU_SHORT__EXECUTOR=of_class)
    rules = on(made, **{name: getattr(rules.host, name) for name in (
        "executors", "engines", "interpreters", "level", "strays"
    )})  # fmt: skip
    assert planned(python(), by=rules).executor == "local"
    assert planned(boxed(**CALL), by=rules).executor == of_class


def test_mounts_and_users_are_judged_as_in_any_container() -> None:
    error = refusal(python({"image": IMAGE, "user": "0:0"}), by=by())
    assert error.reason == "USER_DENIED"
    mounts = [{"source": "/srv", "target": "/workspace/x"}]
    error = refusal(python({"image": IMAGE, "mounts": mounts}), by=by())
    assert error.violations[0].field == "/execution/mounts/0/target"
