"""Which Pythons of a host tasks may have: those that answer, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.doctor import interpreters as doctor
from runner.doctor.finding import Finding, Verdict
from runner.interpreters import Interpreters, ask, there, usual
from tests.support.payloads import default_config

PYTHON = "/usr/bin/python3"


def made(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


async def test_each_is_asked_for_its_version_in_the_order_in_which_it_is_named(
    tmp_path: Path,
) -> None:
    other = made(tmp_path / "other", "#!/bin/sh\necho 3.99.1\n")
    found = await ask([other, PYTHON, other])
    assert list(found.versions) == [other, PYTHON]
    assert found.versions[other] == "3.99.1"
    assert found.versions[PYTHON].startswith("3.")
    assert found.problems == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#!/bin/sh\necho 3.7.9\n", "it is 3.7.9; 3.8 is the oldest that can be used"),
        ("#!/bin/sh\necho 2.7.18\n", "it is 2.7.18"),
        ("#!/bin/sh\necho hello\n", "is no Python 3, or is broken"),
        ("#!/bin/sh\necho 3.11.2; exit 1\n", "is no Python 3, or is broken"),
        ("no program", "it cannot be started: Exec format error"),
        ("#!/no/such/loader\n", "it cannot be started: No such file or directory"),
    ],
)
async def test_what_cannot_be_had_is_left_out_and_why_is_told(
    tmp_path: Path, text: str, problem: str
) -> None:
    path, absent = made(tmp_path / "python", text), str(tmp_path / "absent")
    found = await ask([path, PYTHON, absent])
    assert list(found.versions) == [PYTHON]
    assert list(found.problems) == [path, absent]
    assert problem in found.problems[path]


def test_those_of_the_system_are_by_their_versions_the_newest_first(tmp_path: Path) -> None:
    for name in ("python3", "python3.9", "python3.11", "python3.11-config", "python3.x", "ruby3.1"):
        (tmp_path / name).touch()
    names = [Path(path).name for path in usual(tmp_path)]
    assert names == ["python3.11", "python3.9"]
    assert usual(tmp_path / "absent") == ()


async def test_without_a_local_executor_none_is_asked() -> None:
    config = default_config(ENV_RUNNER_EXECUTORS__LOCAL__ENABLED="false")
    assert await there(config) == Interpreters()


async def found(*named: str, **environ: str) -> Finding:
    listed = "[" + ", ".join(f'"{each}"' for each in named) + "]"
    config = default_config(ENV_RUNNER_PYTHON__INTERPRETERS=listed, **environ)
    (finding,) = await doctor.examine(config)
    return finding


async def test_doctor_tells_those_that_tasks_may_have() -> None:
    finding = await found(PYTHON)
    assert finding.verdict is Verdict.OK
    assert PYTHON in finding.found


async def test_doctor_warns_of_none_of_broken_ones_and_of_those_that_no_sandbox_shows(
    tmp_path: Path,
) -> None:
    assert "are refused" in (await found()).found
    other = made(tmp_path / "python", "#!/bin/sh\necho 3.99.1\n")
    hidden = await found(other)
    assert hidden.verdict is Verdict.WARN
    assert f"not seen in the sandbox: {other}" in hidden.found
    for environ in (
        {"ENV_RUNNER_EXECUTORS__LOCAL__SANDBOX": "standard"},
        {"ENV_RUNNER_EXECUTORS__LOCAL__VIEW": f'["/usr", "{tmp_path}"]'},
    ):
        assert (await found(other, **environ)).verdict is Verdict.OK
    broken = await found(PYTHON, str(tmp_path / "absent"))
    assert broken.verdict is Verdict.WARN
    assert f"{tmp_path}/absent: it cannot be started" in broken.found


async def test_where_policy_has_no_python_doctor_says_nothing_of_it() -> None:
    config = default_config(ENV_RUNNER_POLICY__MODES='["native"]')
    assert list(await doctor.examine(config)) == []
