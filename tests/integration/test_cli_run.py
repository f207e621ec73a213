"""`env-runner run`: no daemon, the task's own end, and nothing left behind."""

from __future__ import annotations

import base64
import json
import signal
from pathlib import Path

import pytest

from tests.support import keepers
from tests.support.command import Command, finish
from tests.support.waiting import until


@pytest.fixture
def command(nothing_is_left: Path, tmp_path: Path) -> Command:
    del nothing_is_left  # what it leaves in its TMPDIR fails the test
    return Command(tmp_path, {})


async def test_bytes_of_both_streams_and_the_exit_code_are_the_tasks_own(
    command: Command,
) -> None:
    script = "printf 'a\\377b'; printf 'oops' >&2; exit 7"
    ended = await command("run", command.payload("sh", "-c", script))
    assert (ended.code, ended.out) == (7, b"a\xffb")
    assert ended.err.startswith(b"oops")
    assert ended.err.count(b"\n") == 1  # the command's own line says how it ended


@pytest.mark.parametrize(
    ("argv", "resources", "code"),
    [
        (("true",), {}, 0),
        (("sh", "-c", "kill -SEGV $$"), {}, 128 + signal.SIGSEGV),
        (("sleep", "30"), {"timeout": "200ms", "grace": "1s"}, 124),
        (("/nonexistent/program",), {}, 127),
    ],
)
async def test_it_ends_as_its_task_does(
    command: Command, argv: tuple[str, ...], resources: dict[str, str], code: int
) -> None:
    ended = await command("run", command.payload(*argv, resources=resources))
    assert ended.code == code, ended.err
    assert len(ended.lines) == (1 if code else 0)


async def test_with_json_it_prints_the_messages_alone(command: Command) -> None:
    ended = await command("run", command.payload("sh", "-c", "echo hello; exit 7"), "--json")
    assert (ended.code, ended.err) == (7, b"")
    answer, *chunks, task = map(json.loads, ended.text.splitlines())
    assert answer["created"]
    assert [base64.b64decode(each["data"]) for each in chunks if "data" in each] == [b"hello\n"]
    assert task["failure"]["reason"] == "FAILURE_REASON_EXIT_CODE"


@pytest.mark.parametrize("words", [("run",), ("run", "--json")], ids=" ".join)
async def test_output_that_cannot_be_written_is_a_failure_that_was_not_the_tasks(
    command: Command, words: tuple[str, ...]
) -> None:
    payload = command.payload("sh", "-c", "echo x; exit 3")
    ended = await command.unwritable(*words, payload)
    assert ended.code == 125
    assert ended.lines[-1] == "env-runner: No space left on device"


@pytest.mark.parametrize("number", [1, 2])
async def test_nor_is_output_lost_in_silence_where_a_stream_is_closed(
    command: Command, number: int
) -> None:
    ended = await command.closed(number, "run", command.payload("sh", "-c", f"echo x >&{number}"))
    assert (ended.code, ended.out) == (125, b"")
    assert ended.lines == ([] if number == 2 else ["env-runner: Bad file descriptor"])
    other = command.payload("sh", "-c", f"echo x >&{3 - number}")
    assert (await command.closed(number, "run", other)).code == 0


async def test_what_policy_forbids_is_refused(command: Command) -> None:
    ended = await command("run", command.payload("id", env={"LD_PRELOAD": "/tmp/x.so"}))
    assert ended.code == 126
    assert len(ended.lines) == 1
    assert "/execution/env/LD_PRELOAD" in ended.lines[0]
    assert "ENV_DENIED" in ended.lines[0]


async def test_a_bad_configuration_is_told_fault_by_fault(command: Command, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[state]\nretentoin = 3\nmin_free = 'much'\n")
    ended = await command("run", command.payload("true"), "--config", config)
    assert ended.code == 78
    assert [line.split(": ")[1] for line in ended.lines] == [f"{config}:2", f"{config}:3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_cancels_the_task(command: Command, number: signal.Signals) -> None:
    script = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    running = await command.start("run", command.payload("sh", "-c", script))
    assert running.stdout is not None
    assert await running.stdout.readline() == b"ready\n"
    running.send_signal(number)
    ended = await finish(running)
    assert (ended.code, ended.out) == (130, b"asked\n")


async def test_a_second_signal_does_not_wait_for_the_grace(command: Command) -> None:
    script = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    running = await command.start(
        "run", command.payload("sh", "-c", script, resources={"grace": "30s"})
    )
    assert running.stdout is not None
    assert await running.stdout.readline() == b"ready\n"
    running.send_signal(signal.SIGINT)
    assert await running.stdout.readline() == b"asked\n"
    running.send_signal(signal.SIGINT)
    assert (await finish(running)).code == 130


def only(directory: Path) -> Path:
    (found,) = directory.iterdir()
    return found


async def test_killed_with_9_it_takes_task_keeper_and_files_along(
    command: Command, nothing_is_left: Path
) -> None:
    script = "trap '' TERM; setsid sleep 600 & echo ready; while :; do sleep 0.05; done"
    running = await command.start(
        "run", command.payload("sh", "-c", script, resources={"grace": "100ms"})
    )
    assert running.stdout is not None
    assert await running.stdout.readline() == b"ready\n"
    home = only(nothing_is_left)
    running.kill()
    await running.wait()
    await until(lambda: not home.exists(), "its keeper has removed the directory")
    await until(lambda: not keepers.find(home / "state" / "keeper"), "and is gone")


async def test_a_reader_that_goes_away_ends_the_task_too(command: Command) -> None:
    running = await command.start("run", command.payload("sh", "-c", "yes"))
    assert running.stdout is not None
    assert running.stderr is not None
    assert await running.stdout.readline() == b"y\n"
    running._transport.get_pipe_transport(1).close()  # type: ignore[attr-defined] # as `head` does
    assert await running.stderr.read() == b""
    assert await running.wait() == 141
