"""Bad input and what it must be answered: rows B1 to B11, B15 to B17, B19 to B22, B24, B25,
B27, B29, B31, B38, B41 and B43 of the table, as far as a payload's form and policy go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runner.domain.identity import check_class, check_task_id
from runner.domain.refusal import Code, Refused
from tests.support.payloads import faults, planned, refusal, refused, running

IA, PD, FP = Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED, Code.FAILED_PRECONDITION


def raw(inside: str) -> bytes:
    return b'{"execution":{"command":["true"],' + inside.encode() + b"}}"


def puts(output: str) -> dict[str, Any]:
    return {**running(), "artifacts": {"outputs": [{"path": output}]}}


def gets(uri: str) -> dict[str, Any]:
    return {**running(), "artifacts": {"inputs": [{"path": "in", "uri": uri}]}}


FORM: list[tuple[str, Any, str, str]] = [
    ("B1", b'{"context":"' + b"x" * 1_500_000 + b'"}', "payload", "TOO_LARGE"),
    ("B2", b"[" * 100_000, "payload", "TOO_DEEP"),
    ("B3", raw('"resources":{"cpu":NaN}'), "/execution/resources/cpu", "NOT_FINITE"),
    ("B3", raw('"resources":{"cpu":Infinity}'), "/execution/resources/cpu", "NOT_FINITE"),
    ("B3", raw('"resources":{"cpu":1e999}'), "/execution/resources/cpu", "NOT_FINITE"),
    ("B3", raw('"resources":{"timeout":1e999}'), "/execution/resources/timeout", "NOT_FINITE"),
    ("B4", raw('"entrypoint":["a","\\ud800"]'), "/execution/entrypoint/1", "BAD_UNICODE"),
    ("B4", raw('"env":{"A":"\\udfff"}'), "/execution/env/A", "BAD_UNICODE"),
    ("B5", running(command=["a", "b\0"]), "/execution/command/1", "NUL_BYTE"),
    ("B5", running(env={"A": "\0"}), "/execution/env/A", "NUL_BYTE"),
    ("B5", running(working_dir="a\0b"), "/execution/working_dir", "NUL_BYTE"),
    ("B5", puts("a\0"), "/artifacts/outputs/0/path", "NUL_BYTE"),
    ("B6", running(privleged=True), "/execution/privleged", "UNKNOWN_FIELD"),
    ("B6", {**running(), "extra": {}}, "/extra", "UNKNOWN_FIELD"),
    ("B7", {"context": {f"{n:06}": 0 for n in range(80_000)}}, "payload", "TOO_MANY_KEYS"),
    ("B7", {"k" * 1_040_000: 1}, "payload", "TOO_MANY_KEYS"),
    *[
        ("B8", running(resources={"timeout": time}), "/execution/resources/timeout", "OUT_OF_RANGE")
        for time in (0, "0s", -1, "-1s", 10**9, "1000000000s", 0.0001)
    ],
    ("B9", {**running(), "tenant": "a" * 50_000 + "!"}, "/tenant", "BAD_NAME"),
    ("B9", running(image="a" * 50_000 + "!"), "/execution/image", "BAD_REFERENCE"),
    ("B9", running(working_dir="a" * 50_000 + "!"), "/execution/working_dir", "BAD_PATH"),
    ("B9", running(env={"a" * 50_000 + "!": ""}), "/execution/env/" + "a" * 63 + "…", "BAD_NAME"),
    (
        "B9",
        running(resources={"memory": "9" * 50_000 + "!"}),
        "/execution/resources/memory",
        "BAD_NUMBER",
    ),
    ("B11", puts("../../etc/cron.d/x"), "/artifacts/outputs/0/path", "PATH_ESCAPE"),
    ("B11", puts("a/../b"), "/artifacts/outputs/0/path", "PATH_ESCAPE"),
    ("B11", puts("/etc/cron.d/x"), "/artifacts/outputs/0/path", "BAD_PATH"),
    *[
        ("B15", running(working_dir=path), "/execution/working_dir", "BAD_PATH")
        for path in ("/", "~root", "$HOME/x", "C:\\", "C:/x", "//host/share", "", "a\\b", "a\nb")
    ],
    ("B15", running(working_dir="../x"), "/execution/working_dir", "PATH_ESCAPE"),
    ("B19", running(env={"A": "x" * 131_072}), "/execution/env/A", "ENV_TOO_LARGE"),
    ("B19", running(env={"A": "x" * 131_070}), "/execution/env/A", "ENV_TOO_LARGE"),
    ("B19", running(env={"A": "é" * 65_536}), "/execution/env/A", "ENV_TOO_LARGE"),
    ("B19", running(env=dict.fromkeys("ABC", "x" * 100_000)), "/execution/env/C", "ENV_TOO_LARGE"),
    ("B19", running(command=["a", "x" * 131_072]), "/execution/command/1", "TOO_LARGE"),
    ("B25", running(user="4294967296"), "/execution/user", "OUT_OF_RANGE"),
    ("B25", running(user="1000:4294967295"), "/execution/user", "OUT_OF_RANGE"),
    ("B25", running(user="00"), "/execution/user", "BAD_NAME"),
    ("B31", gets("gopher://host/x"), "/artifacts/inputs/0/uri", "BAD_REFERENCE"),
    ("B31", gets("https://host/a\r\nX: y"), "/artifacts/inputs/0/uri", "BAD_REFERENCE"),
    ("B31", gets("s3://b:9000/key"), "/artifacts/inputs/0/uri", "BAD_REFERENCE"),
    ("B31", gets("s3://bucket/k?endpoint=http://x"), "/artifacts/inputs/0/uri", "BAD_REFERENCE"),
    ("B31", gets("https://me:pw@host/x"), "/artifacts/inputs/0/uri", "BAD_REFERENCE"),
    ("B31", gets("file://host/x"), "/artifacts/inputs/0/uri", "BAD_REFERENCE"),
    ("B31", gets("file:///a/../etc/shadow"), "/artifacts/inputs/0/uri", "PATH_ESCAPE"),
    ("B31", gets("file:///a/%2e%2E/b"), "/artifacts/inputs/0/uri", "PATH_ESCAPE"),
    ("B41", {**running(), "tenant": ""}, "/tenant", "BAD_NAME"),
    ("B41", {**running(), "tenant": "*"}, "/tenant", "BAD_NAME"),
    ("B41", {**running(), "tenant": "a\n"}, "/tenant", "BAD_NAME"),
]

NO_SUCH_KEYS = [
    *("privileged", "pid", "ipc", "uts", "userns", "cap_add", "devices", "device_cgroup_rules"),
    *("security_opt", "sysctls", "cgroup_parent", "oom_score_adj", "runtime", "restart"),
    *("ulimits", "log_driver", "volume_driver", "volumes_from", "extra_args"),
]


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


@pytest.mark.parametrize(
    ("row", "payload", "code", "field", "reason"),
    [
        *[
            ("B16", running(env={name: "x"}), PD, f"/execution/env/{name}", "ENV_DENIED")
            for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH")
        ],
        *[
            ("B17", running(env={name: "x"}), PD, f"/execution/env/{name}", "ENV_RESERVED")
            for name in (
                "CUDA_VISIBLE_DEVICES",
                "NVIDIA_VISIBLE_DEVICES",
                "NVIDIA_DRIVER_CAPABILITIES",
                "ENV_RUNNER_X",
            )
        ],
        *[
            (
                "B22",
                running(mounts=[{"source": path, "target": "/x"}]),
                PD,
                "/execution/mounts/0/source",
                "MOUNT_DENIED",
            )
            for path in ("/", "/etc", "/root", "/proc", "/sys", "/dev", "/var/lib/docker", "/srv")
        ],
        ("B24", running(network="host"), PD, "/execution/network", "NETWORK_DENIED"),
        ("B24", running(network="container:x"), PD, "/execution/network", "NETWORK_DENIED"),
        ("B25", running(user="0"), PD, "/execution/user", "USER_DENIED"),
        ("B25", running(user="root"), PD, "/execution/user", "USER_DENIED"),
        (
            "B27",
            {"execution": {"image": "a/b:1"}},
            PD,
            "/execution/image",
            "IMAGE_DENIED",
        ),
        *[
            ("B29", gets(uri), PD, "/artifacts/inputs/0/uri", "ADDRESS_DENIED")
            for uri in (
                "http://169.254.169.254/latest",
                "http://[fd00:ec2::254]/",
                "http://metadata.google.internal",
                "https://host/x",
                "reddb://host:8080/dspy/key",
            )
        ],
        ("B31", gets("file:///etc/shadow"), PD, "/artifacts/inputs/0/uri", "PLACE_DENIED"),
        ("B31", gets("s3://bucket/key"), PD, "/artifacts/inputs/0/uri", "PLACE_DENIED"),
        *[
            (
                "B38",
                running(secrets=[{"name": name, "env": "TOKEN"}]),
                PD,
                "/execution/secrets/0/name",
                "SECRET_UNAVAILABLE",
            )
            for name in ("hf-token", "../x", "")
        ],
    ],
)
def test_what_nobody_granted_is_denied(
    row: str, payload: Any, code: Code, field: str, reason: str
) -> None:
    error = refusal(payload)
    assert error.code is code, row
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
