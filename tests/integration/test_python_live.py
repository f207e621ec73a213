"""Calls of Python as clients and the command see them, by a daemon."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.errors import InvalidArgument, PermissionDenied, SupervisorError
from supervisor.result import Result
from tests.support.daemon import Daemon, daemon

HELD: dict[str, object] = {"cpu": 0.2, "memory": "128MiB"}
MOST = 1024 * 1024  # bytes of a payload


@pytest.fixture
async def served(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as made:
        yield made


async def run(runner: Supervisor, *, env: dict[str, str] | None = None, **python: Any) -> Result:
    execution = {"python": python, "resources": HELD, "env": env or {}}
    return await runner.run({"execution": execution})


async def refused(runner: Supervisor, **execution: Any) -> SupervisorError:
    with pytest.raises(SupervisorError) as raised:
        await runner.plan({"execution": execution})
    return raised.value


async def test_arguments_and_scripts_of_a_whole_payload_arrive(served: Daemon) -> None:
    async with served.client() as runner:
        text = "x" * (MOST - 300)
        told = await run(runner, entry_point="fnmatch:translate", arguments={"pat": text})
        assert told.completed, told.error
        assert told.warnings[0].startswith("its result was not taken: it is 104")
        told = await run(runner, script=f"print('whole')\n# {text[:-200]}")
        assert told.completed, told.error
        assert told.task.attempts[-1].usage.stdout_bytes == 6
        deep: Any = 1.0
        for _ in range(26):
            deep = [deep]
        told = await run(runner, entry_point="copy:copy", arguments={"x": deep})
        assert told.task.result.value == json.dumps(deep).encode()
        assert list(told.task.plan.argv)[1:] == ["copy:copy"]


async def test_nothing_of_a_payload_is_run_that_is_no_name(served: Daemon) -> None:
    async with served.client() as runner:
        for hostile in (
            "a:b()",
            "a.b",
            "os:system; x",
            "-c:a",
            "a:b\n",
            "../a:b",
            ":a",
            "a:",
            "é:b",
        ):
            error = await refused(runner, python={"entry_point": hostile})
            assert isinstance(error, InvalidArgument), hostile
            assert error.violations[0].field == "/execution/python/entry_point"
        for number in ("NaN", "Infinity", "1e999"):
            payload = '{"execution": {"python": {"entry_point": "a:b", "arguments": {"n": %s}}}}'
            with pytest.raises(InvalidArgument):
                await runner.plan((payload % number).encode())


async def test_variables_that_change_what_is_run_are_denied_and_others_are_heeded(
    served: Daemon,
) -> None:
    async with served.client() as runner:
        for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "LD_PRELOAD"):
            error = await refused(runner, python={"script": "pass"}, env={name: "x"})
            assert isinstance(error, PermissionDenied)
        script = "import sys\nsys.exit(sys.flags.utf8_mode + 6)"
        told = await run(runner, script=script, env={"PYTHONUTF8": "1"})
        assert told.error == "it exited with code 7"


async def test_what_a_function_brings_is_no_more_than_its_own_end(served: Daemon) -> None:
    """Functions of the library that no orchestrator would mean."""
    async with served.client() as runner:
        for entry_point, arguments, said in (
            ("os:system", {"command": "exit 3"}, None),  # a shell that the task itself asks for
            ("os:_exit", {"status": 9}, "it exited with code 9"),
            ("os:abort", {}, "it was ended by signal 6 (SIGABRT)"),
            ("sys:exit", {}, None),
            ("builtins:__import__", {"name": "absent"}, "ModuleNotFoundError: No module named"),
            ("os:fork", {}, None),
            ("os:getcwdb", {}, "what os:getcwdb returned is no JSON value: TypeError: "),
            ("threading:Thread", {}, "what threading:Thread returned is no JSON value"),
        ):
            told = await run(runner, entry_point=entry_point, arguments=arguments)
            assert told.completed is (said is None), (entry_point, told.error)
            assert (said or "") in (told.error or "")


async def test_what_this_host_lacks_is_refused_when_it_is_asked_for(served: Daemon) -> None:
    async with served.client() as runner:
        error = await refused(runner, python={"script": "pass", "python": "3.99"})
        assert error.reason == "NO_INTERPRETER"
        executors = (await runner.info()).executors
        assert any("python" in str(each).lower() for each in executors)
