"""The payload's form: what is taken, what the fields mean, and rules between them."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from runner.domain.canonical import parse
from runner.domain.document import MOST_FAULTS
from runner.domain.execution import Payload, Secret
from runner.domain.payload import Body, body, schema, validate
from runner.domain.plan import Mount
from tests.support.payloads import as_bytes, faults, running

EVERY_KEY: dict[str, Any] = {
    "workflow_id": "wf-2041",
    "tenant": "acme",
    "context": {"anything": ["kept", 1.25, None, "\0"]},
    "execution": {
        "mode": "docker",
        "executor": "docker",
        "image": "registry.example/embed:1.4@sha256:" + "a" * 64,
        "pull": "if-not-present",
        "entrypoint": ["/usr/bin/embed"],
        "command": ["--in", "in/batch.jsonl", "--out", "out/vectors.parquet"],
        "env": {"OMP_NUM_THREADS": "2"},
        "secrets": [
            {"name": "hf-token", "env": "HF_TOKEN"},
            {"name": "db-password", "path": "secrets/db"},
        ],
        "mounts": [{"source": "/srv/models", "target": "/models", "read_only": True}],
        "working_dir": "/workspace",
        "user": "10001:10001",
        "stdin": "text given to the process, then end of file",
        "network": "none",
        "resources": {
            "cpu": 1.5,
            "memory": "512MiB",
            "gpu": 0,
            "processes": 128,
            "disk": "2GiB",
            "output": "64MiB",
            "timeout": "45s",
            "idle_timeout": "20s",
            "grace": "5s",
        },
        "retry": {
            "max_attempts": 3,
            "initial_backoff": "1s",
            "max_backoff": "30s",
            "multiplier": 2.0,
            "on": ["EXECUTOR", "GPU_LOST"],
        },
        "python": {
            "entry_point": "jobs.embed:main",
            "arguments": {"model": "small"},
            "requirements": ["numpy==2.*", "torch[cuda] >= 2, <3", "x~=1.0"],
            "python": "3.11",
        },
        "slurm": {
            "partition": "gpu",
            "account": "ml",
            "qos": "normal",
            "time": "02:00:00",
            "gres": "gpu:1",
            "nodes": 1,
            "ntasks_per_node": 1,
            "cpus_per_task": 8,
            "memory": "32GiB",
        },
        "ssh": {"host": "gpu-box-3"},
        "kubernetes": {
            "namespace": "batch",
            "service_account": "runner",
            "node_selector": {"pool": "cpu"},
            "image_pull_secrets": ["regcred"],
            "priority_class": "batch",
        },
    },
    "artifacts": {
        "inputs": [
            {
                "path": "in/batch.jsonl",
                "uri": "s3://bucket/batch.jsonl",
                "sha256": "0" * 64,
                "unpack": False,
            }
        ],
        "outputs": [
            {
                "path": "out/*.parquet",
                "uri": "s3://bucket/results/",
                "type": "parquet",
                "optional": False,
                "when": "success",
            }
        ],
    },
}


def valid(payload: object) -> Payload:
    return validate(parse(as_bytes(payload)))


def test_a_payload_with_every_key_is_taken_and_means_what_it_says() -> None:
    read = valid(EVERY_KEY)
    asked = read.execution
    assert (read.workflow_id, read.tenant) == ("wf-2041", "acme")
    assert asked.argv[:2] == ("/usr/bin/embed", "--in")
    assert asked.secrets == (
        Secret("hf-token", env="HF_TOKEN"),
        Secret("db-password", path="secrets/db"),
    )
    assert asked.mounts == (Mount("/srv/models", "/models", read_only=True),)
    assert (asked.resources.memory, asked.resources.timeout) == (512 * 2**20, 45)
    assert asked.retry.on == ("EXECUTOR", "GPU_LOST")
    assert asked.python is not None
    assert asked.python.arguments == {"model": "small"}
    assert asked.slurm is not None
    assert asked.slurm.memory == 32 * 2**30
    assert read.artifacts.outputs[0].uri == "s3://bucket/results/"


def test_the_empty_payload_has_a_form_and_no_faults() -> None:
    assert valid({}) == Payload()


def test_none_is_no_limit() -> None:
    asked = valid(running(resources={"timeout": "none", "memory": "none", "cpu": "none"}))
    assert asked.execution.resources.timeout == math.inf


@pytest.mark.parametrize("number", ["1", "1.0", "10e-1"])
def test_a_whole_number_may_be_written_in_any_form(number: str) -> None:
    text = json.dumps(running(retry={"max_attempts": 12345})).replace("12345", number)
    assert valid(text.encode()).execution.retry.max_attempts == 1


@pytest.mark.parametrize(
    ("execution", "field", "reason"),
    [
        ({"mode": "native"}, "command", "REQUIRED"),
        ({"mode": "native", "command": []}, "command", "REQUIRED"),
        ({"command": [""], "mode": "native"}, "command/0", "REQUIRED"),
        ({"entrypoint": [""], "command": [], "image": "a"}, "entrypoint/0", "REQUIRED"),
        ({"entrypoint": [""], "command": ["x"], "image": "a"}, "entrypoint/0", "REQUIRED"),
        ({"entrypoint": [], "command": [""], "image": "a"}, "command/0", "REQUIRED"),
        ({"mode": "python"}, "python", "REQUIRED"),
        ({"python": {}}, "python/entry_point", "REQUIRED"),
        ({"python": {"entry_point": "a:b", "script": "x"}}, "python/script", "CONFLICT"),
        ({"python": {"script": "x", "arguments": {"a": 1}}}, "python/arguments", "CONFLICT"),
        ({"python": {"script": ""}}, "python/script", "BAD_NAME"),
        ({"python": {"entry_point": "a.b"}}, "python/entry_point", "BAD_REFERENCE"),
        ({"python": {"script": "x"}, "command": ["a"]}, "command", "CONFLICT"),
        ({"python": {"script": "x"}, "working_dir": "/w"}, "working_dir", "BAD_PATH"),
        ({"mode": "docker", "image": "a", "working_dir": "w"}, "working_dir", "BAD_PATH"),
        ({"image": "a", "working_dir": "/proc/1"}, "working_dir", "BAD_PATH"),
        ({"image": "a", "executor": "local"}, "executor", "CONFLICT"),
        ({"mode": "native", "command": ["a"], "executor": "podman"}, "executor", "CONFLICT"),
        ({"python": {"script": "x"}, "executor": "docker"}, "image", "REQUIRED"),
        ({"mode": "shell"}, "mode", "BAD_REFERENCE"),
        ({"executor": "nomad"}, "executor", "BAD_REFERENCE"),
        ({"pull": "sometimes"}, "pull", "BAD_REFERENCE"),
        ({"network": "bridged"}, "network", "BAD_REFERENCE"),
        ({"image": None}, "image", "BAD_TYPE"),
        ({"image": "host/UPPER"}, "image", "BAD_REFERENCE"),
        ({"command": "sh -c x"}, "command", "BAD_TYPE"),
        ({"env": {"A": 1}}, "env/A", "BAD_TYPE"),
        ({"env": {"1A": "x"}}, "env/1A", "BAD_NAME"),
        ({"env": {"A=B": "x"}}, "env/A=B", "BAD_NAME"),
        ({"env": {"": "x"}}, "env/", "BAD_NAME"),
        ({"env": {"a/b~": "x"}}, "env/a~1b~0", "BAD_NAME"),
        ({"secrets": [{"name": "a"}]}, "secrets/0/env", "REQUIRED"),
        ({"secrets": [{"env": "A"}]}, "secrets/0/name", "REQUIRED"),
        ({"secrets": [{"name": "a", "env": "A", "path": "p"}]}, "secrets/0/path", "CONFLICT"),
        ({"secrets": [{"name": "a", "env": "A"}] * 2}, "secrets/1/env", "CONFLICT"),
        ({"secrets": [{"name": "a", "env": "A"}], "env": {"A": ""}}, "secrets/0/env", "CONFLICT"),
        ({"secrets": [{"name": "a", "path": "../x"}]}, "secrets/0/path", "PATH_ESCAPE"),
        ({"mounts": [{"source": "a", "target": "/b"}]}, "mounts/0/source", "BAD_PATH"),
        ({"mounts": [{"source": "/a/../b", "target": "/b"}]}, "mounts/0/source", "PATH_ESCAPE"),
        ({"mounts": [{"source": "/a", "target": "/"}]}, "mounts/0/target", "BAD_PATH"),
        ({"resources": {"cpu": 0}}, "resources/cpu", "OUT_OF_RANGE"),
        ({"resources": {"cpu": "1s"}}, "resources/cpu", "BAD_NUMBER"),
        ({"resources": {"memory": 1.5}}, "resources/memory", "BAD_NUMBER"),
        ({"resources": {"memory": 0}}, "resources/memory", "OUT_OF_RANGE"),
        ({"resources": {"gpu": -1}}, "resources/gpu", "OUT_OF_RANGE"),
        ({"resources": {"gpu": "none"}}, "resources/gpu", "BAD_TYPE"),
        ({"resources": {"processes": True}}, "resources/processes", "BAD_TYPE"),
        ({"retry": {"max_attempts": 0}}, "retry/max_attempts", "OUT_OF_RANGE"),
        ({"retry": {"max_attempts": 101}}, "retry/max_attempts", "OUT_OF_RANGE"),
        ({"retry": {"multiplier": 0.5}}, "retry/multiplier", "OUT_OF_RANGE"),
        ({"retry": {"on": ["LOST", "OOM"]}}, "retry/on/1", "BAD_REFERENCE"),
        ({"slurm": {"wrap": "x"}}, "slurm/wrap", "UNKNOWN_FIELD"),
        ({"slurm": {"partition": "--uid=0"}}, "slurm/partition", "BAD_NAME"),
        ({"slurm": {"time": "1h"}}, "slurm/time", "BAD_NUMBER"),
        ({"kubernetes": {"hostPath": "/"}}, "kubernetes/hostPath", "UNKNOWN_FIELD"),
        ({"ssh": {"host": "-oProxyCommand=x"}}, "ssh/host", "BAD_NAME"),
        *[
            ({"python": {"requirements": [text]}}, "python/requirements/0", "BAD_REFERENCE")
            for text in ("-r x", "a @ https://x", "./x", "git+https://x", "a; x", "--index-url=x")
        ],
        *[
            (
                {"python": {"script": f"# /// script\n{text}\n# ///\n"}},
                "python/script",
                "BAD_REFERENCE",
            )
            for text in ("# dependencies = ['./x']", "# dependencies = [")
        ],
    ],
)
def test_a_fault_of_execution_is_told(execution: object, field: str, reason: str) -> None:
    assert faults({"execution": execution})[0] == (f"/execution/{field}", reason)


@pytest.mark.parametrize(
    ("artifacts", "field", "reason"),
    [
        ({"inputs": [{"path": "a"}]}, "inputs/0/uri", "REQUIRED"),
        ({"inputs": [{"uri": "https://h/x"}]}, "inputs/0/path", "REQUIRED"),
        ({"inputs": [{"path": "a/", "uri": "https://h/x"}]}, "inputs/0/path", "BAD_PATH"),
        ({"inputs": [{"path": "a", "uri": "s3://bucket/"}]}, "inputs/0/uri", "BAD_REFERENCE"),
        ({"inputs": [{"path": "a", "uri": "s3://bucket/d/"}]}, "inputs/0/uri", "BAD_REFERENCE"),
        (
            {"inputs": [{"path": "a", "uri": "https://h/x", "sha256": "0"}]},
            "inputs/0/sha256",
            "BAD_REFERENCE",
        ),
        (
            {"inputs": [{"path": p, "uri": "https://h/x"} for p in ("a", "./a")]},
            "inputs/1/path",
            "CONFLICT",
        ),
        (
            {"inputs": [{"path": p, "uri": "https://h/x"} for p in ("a", "a/b")]},
            "inputs/1/path",
            "CONFLICT",
        ),
        ({"outputs": [{"path": "a*", "uri": "https://h/x"}]}, "outputs/0/uri", "CONFLICT"),
        ({"outputs": [{"path": "a", "when": "never"}]}, "outputs/0/when", "BAD_REFERENCE"),
        ({"outputs": {}}, "outputs", "BAD_TYPE"),
    ],
)
def test_a_fault_of_artifacts_is_told(artifacts: object, field: str, reason: str) -> None:
    assert faults({**running(), "artifacts": artifacts}) == [(f"/artifacts/{field}", reason)]


def test_an_archive_may_be_unpacked_into_the_workspace_itself() -> None:
    one = {"path": ".", "uri": "https://h/x.tar", "unpack": True}
    assert valid({**running(), "artifacts": {"inputs": [one]}}).artifacts.inputs[0].unpack


def test_thousands_of_faults_are_told_by_the_first_ones() -> None:
    assert len(faults({f"k{n}": n for n in range(9000)})) == MOST_FAULTS


def test_argv_has_a_bound() -> None:
    assert faults(running(command=["x"] * 32_769)) == [("/execution/command", "OUT_OF_RANGE")]


def test_stdin_and_context_are_given_as_bytes() -> None:
    context = b'"context": {"b": 0.10, "a": 9007199254740993}'
    given = body(parse(b'{"execution": {"stdin": "\\u0000\xc3\xa9"}, ' + context + b"}"))
    assert given == Body("\0é".encode(), b'{"b":0.1,"a":9007199254740993}')
    assert body(parse(b"{}")) == Body()
    assert body(parse(b'{"context": null, "execution": {"stdin": ""}}')) == Body(b"", b"null")


def test_a_call_is_given_with_its_arguments_as_they_were_written() -> None:
    arguments = b'{"a": 1.0, "b" :[1e2, 0.10, "\\u00e9{"], "arguments": {}}'
    python = b'{"arguments": ' + arguments + b', "entry_point": "a.b:c"}'
    given = body(parse(b'{"execution": {"env": {"python": "x"}, "python": ' + python + b"}}"))
    assert given.files == {
        "call.json": b'{"entry_point": "a.b:c", "arguments": ' + arguments + b"}"
    }
    bare = body(parse(b'{"execution": {"python": {"entry_point": "a:b"}}}'))
    assert bare.files == {"call.json": b'{"entry_point": "a:b", "arguments": {}}'}


def test_a_script_is_given_as_its_text() -> None:
    given = body(parse(b'{"execution": {"python": {"script": "\\u00e9 = 1\\n"}}}'))
    assert given.files == {"script.py": "é = 1\n".encode()}
    other = body(parse(b'{"execution": {"mode": "native", "python": {"script": "x"}}}'))
    assert other.files == {}


def test_the_schema_is_json_and_knows_every_key() -> None:
    made = json.loads(json.dumps(schema(), allow_nan=False))
    _covers(made, EVERY_KEY)


def _covers(schema: dict[str, Any], value: Any) -> None:
    """Whether `value` has only keys of the schema, and texts that its patterns take."""
    if isinstance(value, dict) and "properties" in schema:
        assert schema["additionalProperties"] is False
        for key, item in value.items():
            _covers(schema["properties"][key], item)
    if isinstance(value, list) and "items" in schema:
        for item in value:
            _covers(schema["items"], item)
    if isinstance(value, str):
        for one in schema.get("anyOf", [schema]):
            if one.get("type") == "string":
                assert re.search(one.get("pattern", ""), value)
                assert value in one.get("enum", [value])
