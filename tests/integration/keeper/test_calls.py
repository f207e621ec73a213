"""Files of a call: a keeper puts them into a task's own directory, and nothing else there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.domain.failure import Reason
from runner.domain.plan import Mode
from runner.domain.task import TaskClass
from runner.executors.local import LocalExecutor
from runner.executors.python.executor import Planned, PythonExecutor
from runner.keeper.messages import FILES
from runner.ports import Launch, LaunchFailed
from tests.support import keepers
from tests.support.keeper_client import Client, Keeper, Refusal, sealed
from tests.support.tasks import a_plan

MIB = 1024 * 1024
SHOW = 'cd "$(dirname "$ENV_RUNNER_CONTEXT")"; cat call.json script.py context.json; cat; ls'


def launch(
    client: Client, name: str, names: Sequence[str], data: Sequence[bytes], **words: Any
) -> Any:
    """Launch `SHOW` with such files; `data` is what all descriptors hold, in order."""
    given = [sealed(each) for each in data]
    script = words.pop("script", SHOW)
    try:
        return client.launch(name, "sh", "-c", script, files=given, task_files=list(names), **words)
    finally:
        for file in given:
            os.close(file)


def test_each_is_what_came_along_for_it_whatever_else_is_given(plain: Keeper) -> None:
    client = plain.client()
    assert client.welcome["task_files"] == list(FILES)
    launch(client, "a", ["script.py", "call.json"], [b"<script>", b"<call>"])
    given = [b"<stdin>", b"<context>", b"<call>", b"<script>"]
    launch(client, "b", ["call.json", "script.py"], given, stdin=True, context=True)
    for name, shown in (
        ("a", b"<call><script>{}"),
        ("b", b"<call><script><context><stdin>"),
    ):
        assert client.end(name)["code"] == 0
        assert plain.stdout(name) == shown + b"call.json\ncontext.json\nscript.py\n"


@pytest.mark.parametrize(
    "names",
    [
        ["context.json"],
        ["result.json"],
        ["../call.py"],
        ["call.py", "call.py"],
        ["call.py\n"],
        ["CALL.PY"],
        [""],
        [1],
        "call.py",
        {"call.py": 1},
        None,
    ],
)
def test_no_others_are_put_there(plain: Keeper, names: Any) -> None:
    client = plain.client()
    with pytest.raises(Refusal, match="BAD_VALUE"):
        client.launch("a", "true", task_files=names)
    assert client.ask("query", name="a")["state"] == "absent"


def test_as_many_descriptors_are_needed_as_there_are_names_and_each_is_bounded(
    plain: Keeper,
) -> None:
    client = plain.client()
    for data in ([], [b"x"], [b"x", b"y", b"z"][:1]):
        with pytest.raises(Refusal, match="BAD_FILES"):
            launch(client, "a", ["call.py", "call.json"], data)
    with pytest.raises(Refusal, match="BAD_FILES"):
        launch(client, "a", ["call.py"], [b"x" * (MIB + 1)])
    whole = [b"a" * MIB, b"b" * MIB, b"c" * MIB]
    launch(client, "a", FILES, whole, script='cat "$(dirname $ENV_RUNNER_CONTEXT)"/*.py | wc -c')
    assert client.end("a")["code"] == 0
    assert plain.stdout("a").split() == [str(2 * MIB).encode()]


async def test_a_keeper_that_knows_no_calls_is_sent_none_and_has_to_be_reloaded(
    plain: Keeper,
) -> None:
    executor = PythonExecutor(keepers.local(str(plain.root), "1", "", "none"), Planned())
    inner = executor._inner
    assert isinstance(inner, LocalExecutor)
    try:
        assert Mode.PYTHON in (await executor.probe()).modes
        del inner._session.welcome["task_files"]
        assert (await executor.probe()).modes == (Mode.NATIVE,)
        plan = a_plan(mode=Mode.PYTHON, argv=("/usr/bin/python3", "script.py"), level="none")
        request = Launch("er-1", "t1", 1, TaskClass.CPU_SHORT, plan, {}, files={"script.py": b"1"})
        with pytest.raises(LaunchFailed, match=r"call.py, script.py.*reload it") as raised:
            await executor.launch(request)
        assert raised.value.failure.reason is Reason.EXECUTOR
        assert await executor.adopt(request) is None
    finally:
        await executor.close()


@pytest.fixture
def rooted(home: Path) -> Iterator[Keeper]:
    options = ["--task-users", "2100000000-2100000009"]
    keeper = Keeper(home / "root", *options)
    yield keeper
    keeper.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root for users and disks")
def test_on_a_disk_of_a_size_they_take_nothing_of_what_the_task_has(rooted: Keeper) -> None:
    client = rooted.client()
    limits = {"memory": 64 * MIB, "disk": MIB}
    fill = f"head -c {MIB - 8192} /dev/zero >a && stat -c %U:%a $(dirname $ENV_RUNNER_CONTEXT)/*.py"
    names, data = ["call.py", "script.py"], [b"x" * 9000, b"y" * 200_000]
    launch(client, "a", names, data, script=fill, limits=limits, level="standard")
    assert client.end("a")["code"] == 0
    assert rooted.stdout("a").split() == [b"root:644", b"root:644"]  # they are not the task's own
