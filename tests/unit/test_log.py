"""The log: one line for each event, whole or not at all, and never in the daemon's way."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from runner.domain.failure import Failure, Fault, Reason
from runner.domain.task import EventType, TaskClass
from runner.ports import Refusal
from runner.telemetry import log as log_module
from runner.telemetry.log import open_log
from runner.telemetry.observer import LogObserver
from tests.support.tasks import RUNNING, a_task


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_begins_with_when_how_grave_and_what() -> None:
    stream = io.StringIO()
    open_log("info", "json", stream=stream).info("serving", addresses=["unix:/s"])
    (line,) = lines(stream)
    assert list(line)[:4] == ["timestamp", "level", "event", "logger"]
    assert (line["level"], line["event"], line["addresses"]) == ("info", "serving", ["unix:/s"])
    assert line["timestamp"].endswith("Z")


def test_what_is_below_the_level_is_not_told() -> None:
    stream = io.StringIO()
    log = open_log("warning", "json", stream=stream)
    log.info("quiet")
    log.warning("loud")
    assert [line["event"] for line in lines(stream)] == ["loud"]


def test_a_newline_in_a_field_makes_no_second_line() -> None:
    stream = io.StringIO()
    open_log("info", "json", stream=stream).info("event", text="a\nb")
    assert lines(stream)[0]["text"] == "a\nb"


def test_off_a_terminal_auto_is_json_and_console_is_plain() -> None:
    stream = io.StringIO()
    open_log("info", "auto", stream=stream).info("first")
    open_log("info", "console", stream=stream).info("second", n=1)
    first, second = stream.getvalue().splitlines()
    assert json.loads(first)["event"] == "first"
    assert "second" in second
    assert "n=1" in second
    assert "\x1b" not in second


def test_nobody_stumbles_over_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    stream = io.StringIO()
    log = open_log("info", "json", str(tmp_path), stream=stream)
    stream.close()
    log.error("unheard on stderr")
    assert "unheard" in (tmp_path / "env-runner.log").read_text()


def test_files_are_json_whatever_the_terminal_gets_and_are_rotated(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(log_module, "_FILE_BYTES", 300)
    stream = io.StringIO()
    log = open_log("info", "console", str(tmp_path), stream=stream)
    for number in range(40):
        log.info("event", number=number)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["env-runner.log", *(f"env-runner.log.{n}" for n in range(1, 5))]
    kept = [
        json.loads(line)["number"]
        for path in sorted(tmp_path.iterdir(), reverse=True)
        for line in path.read_text().splitlines()
    ]
    newest = (tmp_path / "env-runner.log").read_text().splitlines()
    assert sorted(kept) == list(range(40 - len(kept), 40))
    assert json.loads(newest[-1])["number"] == 39
    assert len(stream.getvalue().splitlines()) == 40


def test_an_event_of_a_task_has_the_fields_by_which_it_is_found() -> None:
    stream = io.StringIO()
    observer = LogObserver(open_log("info", "json", stream=stream))
    task = a_task(
        "t1", tenant="acme", workflow_id="wf", sequence=7,
        failure=Failure(Reason.EXIT_CODE, "exit 1", Fault.TASK, stderr_tail="password"),
    )  # fmt: skip
    observer.stored(RUNNING, task, EventType.FAILED)
    observer.stored(RUNNING, task, EventType.PROGRESS)
    observer.stored(None, task, None)
    (line,) = lines(stream)
    assert {key: line[key] for key in ("event", "task_id", "tenant", "workflow_id", "reason")} == {
        "event": "task failed", "task_id": "t1", "tenant": "acme", "workflow_id": "wf",
        "reason": "EXIT_CODE",
    }  # fmt: skip
    assert "password" not in stream.getvalue()


def test_a_refusal_names_its_reason_and_its_rule() -> None:
    stream = io.StringIO()
    observer = LogObserver(open_log("info", "json", stream=stream))
    whole = Refusal(
        "PERMISSION_DENIED", "MODE_DENIED", "policy.modes", TaskClass.GPU, "t1", "acme", "wf", 2
    )
    observer.refused(whole)
    observer.refused(Refusal("INVALID_ARGUMENT", "BAD_REFERENCE"))
    first, second = lines(stream)
    assert (first["event"], first["rule"], first["task_class"]) == (
        "task refused", "policy.modes", "gpu",
    )  # fmt: skip
    assert (first["task_id"], first["attempt"]) == ("t1", 2)
    assert (first["tenant"], first["workflow_id"]) == ("acme", "wf")
    assert not {"task_class", "task_id", "attempt", "tenant", "workflow_id"} & set(second)


def test_a_note_says_itself_how_grave_it_is() -> None:
    stream = io.StringIO()
    observer = LogObserver(open_log("info", "json", stream=stream))
    observer.note("ready", level="error")
    observer.note("sweep failed", error=ValueError("x"))
    observer.note("connected", level="shout")
    assert [line["level"] for line in lines(stream)] == ["error", "warning", "info"]


def test_rich_is_not_imported_where_it_happens_to_be_there_and_can_be_afterwards() -> None:
    code = "import sys, runner.app; assert 'rich' not in sys.modules; import rich"
    subprocess.run([sys.executable, "-c", code], check=True)
