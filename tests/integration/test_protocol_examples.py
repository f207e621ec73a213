"""The examples in docs/protocol.md do what they say: Python is run, grpcurl's JSON is read."""

from __future__ import annotations

import ast
import inspect
import re
import types
from pathlib import Path

import pytest
from google.protobuf.json_format import Parse

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import daemon

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "protocol.md").read_text()
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"^call (\w+) '(.*)'$", re.MULTILINE)
METHODS = v1.DESCRIPTOR.services_by_name["Supervisor"].methods_by_name


def blocks() -> list[str]:
    """The blocks that go on from one another."""
    return PYTHON.findall(TEXT[TEXT.index("## Each call by example") :])


async def test_the_python_examples_run_one_after_the_other(
    nothing_is_left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as served, served.client() as runner:
        names = {"runner": runner, "v1": v1}
        for number, block in enumerate(blocks()):
            await run(block, f"block {number}", names)
    said = capsys.readouterr().out
    for word in ("True", "completed", "train-7", "TASK_EVENT_TYPE_STARTED", "DRAINING", "NO_TASK"):
        assert word in said, said
    assert "/execution/comand UNKNOWN_FIELD" in said


async def run(block: str, name: str, names: dict[str, object]) -> None:
    code = compile(block, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    ran = types.FunctionType(code, names)()
    if inspect.iscoroutine(ran):
        await ran


async def test_the_example_of_a_result_prints_what_the_document_says(
    nothing_is_left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "results.md").read_text()
    (block,) = PYTHON.findall(text)
    (printed,) = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as served, served.client() as runner:
        await run(block, "docs/results.md", {"runner": runner})
    latency = re.compile(r'("latency_ms": )\d+')
    assert latency.sub(r"\1", capsys.readouterr().out) == latency.sub(r"\1", printed)


async def test_the_examples_of_python_tasks_print_what_the_document_says(
    nothing_is_left: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (DOCS / "python.md").read_text()
    printed = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as served, served.client() as runner:
        executors = (await runner.info()).executors
        level = next(each.version for each in executors if each.name == "local")
        for number, (block, said) in enumerate(zip(PYTHON.findall(text), printed, strict=True)):
            await run(block, f"docs/python.md, block {number}", {"runner": runner})
            shown = capsys.readouterr().out
            if "sandbox strict" not in level:  # the only one that has such a path
                shown = re.sub(r'"[^"]*/script.py"', '"/run/env-runner/script.py"', shown)
            assert shown == said


@pytest.mark.parametrize(("method", "body"), CALL.findall(TEXT))
def test_what_grpcurl_sends_is_a_request(method: str, body: str) -> None:
    kind = getattr(v1, METHODS[method].input_type.name)
    request = Parse(body, kind())
    assert request.ByteSize() or method == "GetRunner"


def test_each_call_has_an_example_in_both() -> None:
    assert sorted({method for method, _ in CALL.findall(TEXT)}) == sorted(METHODS)
    asked = "\n".join(blocks())
    calls = (
        "assign", "plan", "get", "list", "cancel", "acknowledge", "watch", "output", "info", "drain"
    )  # fmt: skip
    assert len(calls) == len(METHODS)
    for call in calls:
        assert f"runner.{call}(" in asked
