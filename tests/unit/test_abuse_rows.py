"""Bad input and what it must be answered: rows B1 to B11, B15 to B17, B19 to B22, B24, B25,
B27, B29, B31, B38, B41 and B43 of the table, as far as a payload's form and policy go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.domain.identity import check_class, check_task_id
from runner.domain.refusal import Code, Refused
from runner.planning.policy import HostPath, Policy
from tests.support.abuse import DENIED, FORM, NO_SUCH_KEYS, told_of
from tests.support.payloads import faults, planned, refusal, refused, running, some_rules

IA, PD = Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED


@pytest.mark.parametrize(("row", "payload", "field", "reason"), FORM)
def test_a_fault_of_form_is_told_with_its_pointer_and_reason(
    row: str, payload: Any, field: str, reason: str
) -> None:
    assert faults(payload)[0] == (field, reason), row
    error = refused(payload)
    assert error.code is IA
    assert error.reason == reason
    assert len(error.message) < 300, "shows more of the input than it may"


@pytest.mark.parametrize("key", NO_SUCH_KEYS)
def test_b21_nothing_that_an_engine_takes_beside_is_known(key: str) -> None:
    assert faults(running(**{key: True})) == [(f"/execution/{key}", "UNKNOWN_FIELD")]
    assert faults(running(docker={key: True})) == [("/execution/docker", "UNKNOWN_FIELD")]


@pytest.mark.parametrize(("row", "payload", "field", "reason"), DENIED)
def test_what_nobody_granted_is_denied(row: str, payload: Any, field: str, reason: str) -> None:
    rules = some_rules(Policy(host_paths=(HostPath("/", writable=True),)))
    error = refusal(told_of(rules.own.places[0], payload), by=rules)
    assert error.code is PD, row
    assert (error.violations[0].field, error.reason) == (field, reason), row
    assert error.rule, "a denial names its rule"


def test_b38_every_secret_is_denied_in_the_same_words() -> None:
    messages = {
        refusal(running(secrets=[{"name": name, "env": "T"}])).message for name in ("a", "../x")
    }
    assert len(messages) == 1


def test_b8_an_absent_timeout_is_the_default_of_the_class() -> None:
    assert planned(running()).limits.wall_time == 60


@pytest.mark.parametrize(
    "task_id",
    ["../../x", "a/b", ".", "..", "", "a" * 129, "a" * 300, "a\n", "-a", "_a", "a b", "é", "a\0"],
)
def test_b10_what_is_no_task_id_is_refused(task_id: str) -> None:
    with pytest.raises(Refused) as caught:
        check_task_id(task_id)
    assert caught.value.reason == "BAD_ID"
    assert [fault.field for fault in caught.value.violations] == ["task_id"]


@pytest.mark.parametrize("task_id", ["A", "a", "cgroup.procs", "0", "a..b", "x" * 128])
def test_b10_ids_that_look_odd_are_ids_all_the_same(task_id: str) -> None:
    check_task_id(task_id)


@pytest.mark.parametrize("value", ['" A', "\\\\", "a\nb", "--privileged", "$(x)", "\x01\x7f", ""])
def test_b20_any_value_of_a_variable_is_taken_as_it_is(value: str) -> None:
    assert planned(running(env={"A": value})).env == {"A": value}


def test_b19_the_largest_variable_and_argument_are_taken() -> None:
    assert planned(running(env={"A": "x" * 131_069}))
    assert planned(running(command=["a", "x" * 131_071]))


def test_b43_an_unknown_class_is_told_as_the_field_of_the_request() -> None:
    for name, reason in (("cpu", "BAD_REFERENCE"), ("", "REQUIRED")):
        with pytest.raises(Refused) as caught:
            check_class(name)
        assert (caught.value.violations[0].field, caught.value.reason) == ("task_class", reason)


def test_every_fault_of_a_form_is_told_at_once() -> None:
    payload = json.dumps(
        {
            "tenant": "*",
            "exec": 1,
            "execution": {
                "command": [1, "a\0"],
                "resources": {"memory": "5", "cpu": -1},
                "working_dir": "../x",
            },
        }
    )
    broken = payload.replace('"cpu": -1', '"cpu": NaN').encode()
    assert set(faults(broken)) == {
        ("/tenant", "BAD_NAME"),
        ("/exec", "UNKNOWN_FIELD"),
        ("/execution/command/0", "BAD_TYPE"),
        ("/execution/command/1", "NUL_BYTE"),
        ("/execution/resources/memory", "BAD_NUMBER"),
        ("/execution/resources/cpu", "NOT_FINITE"),
        ("/execution/working_dir", "PATH_ESCAPE"),
    }
