"""Whom the keeper's command line names: by number, by range, by name."""

from __future__ import annotations

import os
import pwd

import pytest

from runner.keeper.options import settings_of

ROOT, OWN = 0, pwd.getpwuid(os.getuid())


@pytest.mark.parametrize(
    ("given", "users"),
    [
        ("1000", [range(1000, 1001)]),
        ("1000-1009,2000", [range(1000, 1010), range(2000, 2001)]),
        ("root", [range(1)]),
        (f"1000,{OWN.pw_name}", [range(1000, 1001), range(OWN.pw_uid, OWN.pw_uid + 1)]),
    ],
)
def test_tasks_may_run_as_whom_it_names(given: str, users: list[range]) -> None:
    settings, _ = settings_of({"allow-users": given})
    assert settings.users == users


def test_the_daemons_user_may_be_named() -> None:
    assert settings_of({"daemon-uid": "root"})[0].daemon_uid == ROOT
    assert settings_of({"daemon-uid": "1000"})[0].daemon_uid == 1000


@pytest.mark.parametrize("name", ["nobody-of-that-name", "1000-x", "-5", ""])
def test_a_user_that_is_not_there_is_refused_in_one_line(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        settings_of({"daemon-uid": name})
    assert left.value.code == 2
    assert capfd.readouterr().err == f"env-runner keeper: there is no user {name!r} here\n"


def test_what_tasks_may_have_is_taken_from_the_command_line() -> None:
    settings, _ = settings_of(
        {
            "task-users": "2100000000-2100000009",
            "max-memory": "1073741824",
            "max-processes": "64",
            "max-cpu": "1.5",
            "max-disk": "50%",
            "view": "/usr:/opt/tools",
            "allow-none": "",
        }
    )
    assert str(settings.pool) == "2100000000-2100000009"
    host = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    most = {"memory": 1 << 30, "processes": 64, "cpu": 1.5, "disk": host // 2}
    assert settings.most == most
    assert settings.ahead
    assert (settings.view, settings.allow_none) == (["/usr", "/opt/tools"], True)
    plain, _ = settings_of({})
    assert (plain.pool, plain.most) == (None, {})
    assert (plain.view, plain.allow_none) == (None, False)


@pytest.mark.parametrize(
    "given",
    [
        {"task-users": "0-10"},
        {"max-memory": "1GiB"},
        {"max-processes": "-1x"},
        {"max-processes": "50%"},
        {"max-cpu": "0"},
        {"max-memory": "inf"},
        {"view": "/usr:lib"},
    ],
)
def test_what_is_no_such_value_is_refused_in_one_line(
    given: dict[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        settings_of(given)
    assert left.value.code == 2
    assert len(capfd.readouterr().err.splitlines()) == 1
