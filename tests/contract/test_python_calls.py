"""Calls of Python by every real executor, at each level of isolation and in containers: what
is run, where it begins, and what it leaves to be read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from runner.domain.calls import ARGUMENTS, EXCEPTION, EXCEPTION_SIZE, SCRIPT
from runner.domain.failure import Fault, Reason
from runner.domain.plan import Mode
from runner.domain.reports import RESULT_FILE
from runner.executors.python.executor import Planned, PythonExecutor
from runner.ports import Excerpt, Launch, LaunchFailed
from tests.contract.conftest import REAL
from tests.engines.fixtures import BOTH, ROOTLESS
from tests.support.rig import Ended, Rig
from tests.support.workload import PYTHON

pytestmark = pytest.mark.parametrize("rig", [*REAL, *BOTH, ROOTLESS], indirect=True)


def asked(rig: Rig, name: str, data: bytes, *, python: str = "", working_dir: str = "") -> Launch:
    """A launch of mode python with such a file."""
    request = rig.request((python or ("python3" if rig.contained else PYTHON), "what it runs"))
    plan = replace(
        request.plan,
        mode=Mode.PYTHON,
        entrypoint=None,
        command=None,
        working_dir=working_dir,
    )
    return replace(request, plan=plan, files={name: data})


async def run(rig: Rig, request: Launch) -> Ended:
    executor = PythonExecutor(rig.executor, Planned())
    return await rig.finish(request, await executor.launch(request))


async def test_a_function_is_called_and_what_it_returns_is_its_result(rig: Rig) -> None:
    arguments = {"text": "é\n" * 10_000, "prefix": "> "}
    call = {"entry_point": "textwrap:indent", "arguments": arguments}
    ended = await run(rig, asked(rig, ARGUMENTS, json.dumps(call).encode()))
    assert (ended.exit.code, ended.output.stdout, ended.output.stderr) == (0, b"", b"")
    found = await rig.executor.read_report(ended.request.name, RESULT_FILE, 1 << 20)
    assert found is not None
    assert json.loads(found.data) == {"value": "> é\n" * 10_000}
    assert await rig.executor.read_report(ended.request.name, EXCEPTION, EXCEPTION_SIZE) is None


async def test_a_script_begins_in_its_directory_and_what_ends_it_is_told(rig: Rig) -> None:
    script = b"import os, sys\nprint(os.getcwd(), sys.path[0])\nraise LookupError('gone')\n"
    ended = await run(rig, asked(rig, SCRIPT, script, working_dir="a/b"))
    assert ended.exit.code == 1
    directory, first = ended.output.stdout.decode().split()
    assert directory == f"{first}/a/b"
    assert first.endswith("/workspace")
    said = ended.output.stderr.decode()
    assert "script.py\", line 3, in <module>\n    raise LookupError('gone')\n" in said
    assert said.endswith("\nLookupError: gone\n")
    found = await rig.executor.read_report(ended.request.name, EXCEPTION, EXCEPTION_SIZE)
    assert found == Excerpt(b"LookupError: gone", 17)


async def test_an_interpreter_that_is_not_there_is_the_hosts_fault_or_that_of_the_image(
    rig: Rig,
) -> None:
    request = asked(rig, SCRIPT, b"pass", python="/usr/bin/python3.99")
    with pytest.raises(LaunchFailed) as raised:
        await run(rig, request)
    failure = raised.value.failure
    of_image = (Reason.START, Fault.TASK)
    expected = of_image if rig.contained else (Reason.EXECUTOR, Fault.SYSTEM)
    assert (failure.reason, failure.fault) == expected
    assert "python3.99" in failure.message
