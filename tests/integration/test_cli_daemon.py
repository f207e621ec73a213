"""The client commands against a real daemon."""

from __future__ import annotations

import base64
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.command import Command, finish
from tests.support.daemon import Daemon, daemon


@pytest.fixture
async def served(nothing_is_left: Path) -> AsyncIterator[Daemon]:
    root = nothing_is_left / "d"
    root.mkdir()
    async with daemon(root) as made:
        yield made


@pytest.fixture
def command(served: Daemon, tmp_path: Path) -> Command:
    return Command(tmp_path, {"ENV_RUNNER_ADDRESS": served.address})


def messages(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


async def test_submit_prints_the_id_and_logs_have_each_stream_on_its_own(
    command: Command,
) -> None:
    payload = command.payload("sh", "-c", "echo out; echo err >&2")
    submitted = await command("submit", payload)
    assert (submitted.code, submitted.lines) == (0, [])
    task_id = submitted.text.strip()
    assert (await command("watch", task_id)).code == 0
    both = await command("logs", task_id, "-f")
    assert (both.code, both.out, both.err) == (0, b"out\n", b"err\n")
    assert (await command("logs", task_id, "--stderr")).out == b""
    assert (await command("logs", task_id, "--stdout", "--tail", "2")).out == b"t\n"
    (chunk, *_) = messages((await command("logs", task_id, "--json")).text)
    assert chunk["taskId"] == task_id


async def test_submit_follow_ends_as_the_task_does(command: Command) -> None:
    ended = await command("submit", command.payload("sh", "-c", "echo x; exit 3"), "--follow")
    assert (ended.code, ended.out) == (3, b"x\n")


async def test_submit_follow_json_is_messages_alone_and_ends_as_the_task_does(
    command: Command,
) -> None:
    script = "printf 'no newline'; echo oops >&2; exit 3"
    payload = command.payload("sh", "-c", script)
    ended = await command("submit", payload, "--follow", "--json", "--id", "a")
    assert (ended.code, ended.err) == (3, b"")
    answer, *chunks, task = messages(ended.text)
    assert answer["created"] is True
    written = [base64.b64decode(str(each["data"])) for each in chunks if "data" in each]
    assert sorted(written) == [b"no newline", b"oops\n"]
    assert "end" in chunks[-1]
    assert (task["taskId"], task["state"]) == ("a", "TASK_STATE_FAILED")


async def test_the_same_id_with_other_content_is_refused(command: Command) -> None:
    assert (await command("submit", command.payload("true"), "--id", "a")).code == 0
    again = await command("submit", command.payload("false"), "--id", "a")
    assert again.code == 126
    assert len(again.lines) == 1
    assert "ID_CONFLICT" in again.lines[0]


async def test_a_faulty_payload_names_its_faults_in_one_line(command: Command) -> None:
    refused = await command("plan", command.payload("true", privleged=True, network=7))
    assert refused.code == 126
    assert len(refused.lines) == 1
    assert "/execution/privleged" in refused.lines[0]
    assert "/execution/network" in refused.lines[0]


async def test_plan_says_what_would_be_done_and_why(command: Command) -> None:
    planned = await command("plan", command.payload("echo", "hi"))
    said = dict(line.split("\t", 1) for line in planned.text.splitlines())
    assert (said["mode"], said["executor"], said["command"]) == ("native", "local", "echo hi")
    assert said["now"] == "could start"
    assert said["decided"]
    (message,) = messages((await command("plan", command.payload("true"), "--json")).text)
    assert message["runnableNow"] is True


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("submit",), 125),
        (("submit", "--json"), 125),
        (("submit", "--follow"), 125),
        (("submit", "--follow", "--json"), 125),
        (("plan",), 125),
        (("plan", "--json"), 125),
        (("ps", "-a"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_where_its_own_output_cannot_be_written_it_says_so_and_whose_fault_it_was_not(
    command: Command, words: tuple[str, ...], code: int
) -> None:
    """No code of a task's own, which a program that hands tasks over would take it for."""
    name = words[0]
    payload = [] if name == "ps" else [command.payload("sh", "-c", "echo x; exit 3")]
    task = ["--id", "a"] if name == "submit" else []
    if name == "ps":
        await command("submit", command.payload("true"))
    ended = await command.unwritable(*words, *payload, *task)
    assert ended.code == code
    assert "No space left on device" in ended.lines[-1]
    if words in {("submit",), ("submit", "--json")}:
        assert "a was accepted" in ended.lines[-1]
        assert (await command("watch", "a")).code == 0


async def test_ps_lists_what_goes_on_and_with_a_what_has_ended(command: Command) -> None:
    await command("submit", command.payload("true"), "--id", "done")
    await command("watch", "done")
    await command("submit", command.payload("sleep", "600"), "--id", "going")
    assert [row.split("\t")[0] for row in (await command("ps")).text.splitlines()] == ["going"]
    everything = messages((await command("ps", "-a", "--json")).text)
    assert [task["taskId"] for task in everything] == ["going", "done"]
    assert (await command("ps", "-a", "--class", "cpu_long")).out == b""
    assert (await command("ps", "-a", "--tenant", "nobody")).out == b""


async def test_cancel_goes_on_after_an_id_that_is_not_held(command: Command) -> None:
    await command("submit", command.payload("sleep", "600"), "--id", "a")
    cancelled = await command("cancel", "absent", "a", "--grace", "1s")
    assert cancelled.code == 1
    assert len(cancelled.lines) == 1
    assert "absent" in cancelled.lines[0]
    assert cancelled.text.startswith("a\t")
    assert (await command("watch", "a")).code == 0
    assert "state\tcancelled\n" in (await command("show", "a")).text


async def test_show_has_three_forms(command: Command) -> None:
    await command("submit", command.payload("sh", "-c", "echo no >&2; exit 7"), "--id", "a")
    await command("watch", "a")
    plain = (await command("show", "a")).text
    assert "state\tfailed\n" in plain
    assert "reason\tEXIT_CODE, the task's fault\n" in plain
    (task,) = messages((await command("show", "a", "--json")).text)
    assert task["state"] == "TASK_STATE_FAILED"
    (result,) = messages((await command("show", "a", "--result")).text)
    assert (result["status"], result["result"]) == ("failed", None)
    assert str(result["error"]).endswith("\nno\n")
    absent = await command("show", "b")
    assert (absent.code, len(absent.lines)) == (1, 1)


async def test_a_result_and_a_warning_are_shown(command: Command) -> None:
    script = (
        """echo '{"value": [7], "metrics": {"tokens": 512}}' > "$ENV_RUNNER_RESULT"\n"""
        """echo 'no JSON' > "$ENV_RUNNER_PROGRESS" """
    )
    followed = await command("submit", command.payload("sh", "-c", script), "--id", "a", "--follow")
    assert followed.code == 0
    (warning,) = [line for line in followed.lines if "was not taken" in line]
    assert warning.startswith("env-runner: a: some of its progress was not taken: it is not JSON")
    plain = (await command("show", "a")).text
    assert "value\t[7]\n" in plain
    assert "warning\tsome of its progress was not taken: it is not JSON" in plain
    (shown,) = messages((await command("show", "a", "--result")).text)
    assert (shown["status"], shown["error"]) == ("completed", None)
    result = shown["result"]
    assert isinstance(result, dict)
    assert (result["metrics"], result["outputs"]) == ({"tokens": 512}, [])


async def test_watch_has_every_event_of_a_task_once_and_in_order(command: Command) -> None:
    await command("submit", command.payload("true"), "--id", "a")
    events = messages((await command("watch", "a", "--json")).text)
    sequences = [int(str(event["sequence"])) for event in events]
    assert sequences == sorted(set(sequences))
    names = [str(event["type"]).removeprefix("TASK_EVENT_TYPE_") for event in events]
    assert (names[0], names[-1]) == ("ACCEPTED", "COMPLETED")


async def test_draining_refuses_new_tasks_until_undrained(command: Command) -> None:
    assert (await command("drain", "--reason", "repair")).text == "draining: takes no new tasks\n"
    refused = await command("submit", command.payload("true"))
    assert (refused.code, len(refused.lines)) == (126, 1)
    assert "DRAINING" in refused.lines[0]
    assert (await command("undrain")).text == "takes tasks\n"
    assert (await command("submit", command.payload("true"))).code == 0


async def test_info_tells_executors_classes_and_room(command: Command) -> None:
    said = dict(line.split("\t", 1) for line in (await command("info")).text.splitlines())
    assert said["executor local"].startswith("ready, runs native")
    assert said["class cpu_short"].startswith("0 of 16 running")
    (message,) = messages((await command("info", "--json")).text)
    assert message["journalId"]


async def test_leaving_a_follower_leaves_the_task(command: Command) -> None:
    payload = command.payload("sh", "-c", "echo ready; sleep 600")
    following = await command.start("submit", payload, "--id", "a", "--follow")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"ready\n"
    following.send_signal(signal.SIGINT)
    ended = await finish(following)
    assert ended.code == 130
    assert "the task goes on" in ended.lines[-1]
    assert "state\trunning\n" in (await command("show", "a")).text


async def test_a_failure_that_was_not_the_tasks_is_told_apart(
    command: Command, served: Daemon
) -> None:
    payload = command.payload("sh", "-c", "echo ready; exec sleep 600")
    following = await command.start("submit", payload, "--id", "a", "--follow")
    assert following.stdout is not None
    assert await following.stdout.readline() == b"ready\n"
    await served.kill_keeper()
    ended = await finish(following)
    assert ended.code == 125
    assert "(LOST)" in ended.lines[-1]


async def test_logs_go_on_through_a_kill_of_the_daemon(command: Command, served: Daemon) -> None:
    gate = served.root / "gate"
    script = f"seq 1000; until [ -e {gate} ]; do sleep 0.05; done; seq 1001 2000"
    await command("submit", command.payload("sh", "-c", script), "--id", "a")
    reading = await command.start("logs", "a", "-f")
    assert reading.stdout is not None
    first = b"".join([await reading.stdout.readline() for _ in range(1000)])
    served.kill()
    gate.touch()
    await served.start()
    rest = await finish(reading)
    assert (rest.code, rest.err) == (0, b"")
    assert first + rest.out == b"".join(b"%d\n" % n for n in range(1, 2001))


async def test_a_second_daemon_leaves_the_first_alone(command: Command, served: Daemon) -> None:
    second = Command(command.directory, served.environment())
    refused = await second("serve")
    assert refused.code == 75
    assert len(refused.lines) == 1
    assert (await command("info")).code == 0
