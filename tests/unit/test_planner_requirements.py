"""Plans of mode python with requirements: those of the payload, those of a script, and neither."""

from __future__ import annotations

from typing import Any

import pytest

from runner.domain.plan import Mode
from runner.domain.refusal import Code
from runner.planning.policy import Policy, Rules, stays
from tests.support.payloads import on, planned, refusal, some_rules

BOTH = frozenset({Mode.NATIVE, Mode.PYTHON})


def by(no_environments: str = "") -> Rules:
    return on(
        some_rules(Policy(images=("r.example/*",))),
        executors={"local": BOTH, "docker": frozenset({Mode.DOCKER, Mode.PYTHON})},
        interpreters={"/usr/bin/python3.12": "3.12.1", "/usr/bin/python3.11": "3.11.2"},
        level="strict",
        strays=stays,
        no_environments=no_environments,
    )


def script(*lines: str, **more: Any) -> dict[str, Any]:
    text = "\n".join(("# /// script", *(f"# {line}" for line in lines), "# ///", "pass"))
    return {"execution": {"python": {"script": text, **more}}}


def test_a_plan_has_the_requirements_of_payload_and_script_in_one_form() -> None:
    asked = script('dependencies = ["NumPy == 2.*", "b"]', requirements=["B", "numpy==2.*", "a"])
    plan = planned(asked, by=by())
    assert plan.python is not None
    assert plan.python.requirements == ("a", "b", "numpy==2.*")
    assert "with a, b, numpy==2.*" in "\n".join(plan.decisions)


def test_the_interpreter_is_one_that_the_script_takes() -> None:
    assert planned(script('requires-python = "<3.12"'), by=by()).argv[0] == "/usr/bin/python3.11"
    assert planned(script('requires-python = ">=3.8"'), by=by()).argv[0] == "/usr/bin/python3.12"
    for asked in (
        script('requires-python = "<3.8"'),
        script('requires-python = "<3.12"', python="3.12"),
    ):
        error = refusal(asked, by=by())
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "NO_INTERPRETER")
        assert "says the script" in error.violations[0].message


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"execution": {"python": {"entry_point": "a:b", "requirements": ["x"]}}}, "requirements"),
        (script('dependencies = ["x"]'), "script"),
    ],
)
def test_where_no_environment_can_be_made_the_refusal_says_why(
    asked: dict[str, Any], field: str
) -> None:
    error = refusal(asked, by=by("there is no uv"))
    assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "NO_ENVIRONMENT")
    assert error.violations[0].field == f"/execution/python/{field}"
    assert "there is no uv" in error.violations[0].message
    assert planned(script(), by=by("there is no uv")).python is not None


def test_an_image_has_what_it_has() -> None:
    asked = script('dependencies = ["x"]')
    asked["execution"]["image"] = "r.example/py:1"
    error = refusal(asked, by=by())
    assert error.violations[0].field == "/execution/python/script"
    assert "install them in it" in error.violations[0].message
