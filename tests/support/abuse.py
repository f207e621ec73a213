"""Rows of the table of abuse whose answer is a refusal of the payload, for tests that name them.

What is refused is decided in planning; that a running daemon answers the same, nothing comes of
it and it is told is tried with the same rows.
"""

from __future__ import annotations

from typing import Any

from tests.support.payloads import running


def raw(inside: str) -> bytes:
    return b'{"execution":{"command":["true"],' + inside.encode() + b"}}"


def puts(output: str) -> dict[str, Any]:
    return {**running(), "artifacts": {"outputs": [{"path": output}]}}


def mounts(source: str) -> dict[str, Any]:
    return running(mounts=[{"source": source, "target": "/x"}])


STATE = "/the/state/directory"


def told_of(state: object, payload: Any) -> Any:
    """A row's payload where STATE stands for a state directory that is elsewhere."""
    return mounts(str(state)) if payload == mounts(STATE) else payload


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

DENIED: list[tuple[str, Any, str, str]] = [
    *[
        ("B16", running(env={name: "x"}), f"/execution/env/{name}", "ENV_DENIED")
        for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "GCONV_PATH")
    ],
    *[
        ("B17", running(env={name: "x"}), f"/execution/env/{name}", "ENV_RESERVED")
        for name in (
            "CUDA_VISIBLE_DEVICES",
            "NVIDIA_VISIBLE_DEVICES",
            "NVIDIA_DRIVER_CAPABILITIES",
            "ENV_RUNNER_X",
        )
    ],
    *[
        ("B22", mounts(path), "/execution/mounts/0/source", "MOUNT_DENIED")
        for path in ("/", "/etc", "/root", "/proc", "/sys", "/dev", "/var/lib/docker", STATE)
    ],
    ("B24", running(network="host"), "/execution/network", "NETWORK_DENIED"),
    ("B24", running(network="container:x"), "/execution/network", "NETWORK_DENIED"),
    ("B25", running(user="0"), "/execution/user", "USER_DENIED"),
    ("B25", running(user="root"), "/execution/user", "USER_DENIED"),
    (
        "B27",
        {"execution": {"image": "a/b:1"}},
        "/execution/image",
        "IMAGE_DENIED",
    ),
    *[
        ("B29", gets(uri), "/artifacts/inputs/0/uri", "ADDRESS_DENIED")
        for uri in (
            "http://169.254.169.254/latest",
            "http://[fd00:ec2::254]/",
            "http://metadata.google.internal",
            "https://host/x",
            "reddb://host:8080/dspy/key",
        )
    ],
    ("B31", gets("file:///etc/shadow"), "/artifacts/inputs/0/uri", "PLACE_DENIED"),
    ("B31", gets("s3://bucket/key"), "/artifacts/inputs/0/uri", "PLACE_DENIED"),
    *[
        (
            "B38",
            running(secrets=[{"name": name, "env": "TOKEN"}]),
            "/execution/secrets/0/name",
            "SECRET_UNAVAILABLE",
        )
        for name in ("hf-token", "../x", "")
    ],
]
"""Row, payload, and the field and reason of PERMISSION_DENIED."""
