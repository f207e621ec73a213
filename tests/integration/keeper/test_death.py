"""A keeper that was killed: the next one ends what it left, and never guesses how it ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.keeper import records
from tests.support.keeper_client import Keeper, Refusal, alive, eventually


def test_the_next_keeper_kills_what_is_left_and_says_lost(keeper: Keeper) -> None:
    client = keeper.client()
    tree = "(setsid sleep 999 & echo $!); sleep 999 & echo $!; echo $$; echo words >&2; wait"
    client.launch("a", "sh", "-c", tree)
    client.launch("b", "sh", "-c", "exit 3")
    client.end("b")
    eventually(lambda: keeper.stdout("a").count(b"\n") == 3, "its processes are there")
    words = keeper.root / "a/output/stderr"
    eventually(lambda: words.stat().st_size == 6, "what it said is kept")
    pids = [int(line) for line in keeper.stdout("a").split()]
    keeper.kill()
    keeper.start()
    assert not any(alive(pid) for pid in pids)
    client = keeper.client(2)
    record = client.ask("query", name="a")["record"]
    assert "keeper" in record["lost"]
    assert "died" in record["lost"]
    assert (record["code"], record["signal"]) == (None, None)
    assert record["kept"] == [len(keeper.stdout("a")), 6]
    assert client.ask("query", name="b")["record"]["code"] == 3
    assert client.launch("a", "true")["record"]["lost"]  # never a second time


def test_a_record_of_another_boot_sends_no_signal(plain: Keeper) -> None:
    stranger = subprocess.Popen(["sleep", "999"], start_new_session=True)
    try:
        client = plain.client()
        client.launch("a", "sleep", "999")
        plain.kill()
        directory = os.open(plain.root / "a", os.O_RDONLY)
        launch = records.read(directory, "launch.json")
        assert launch is not None
        ticks = int(Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19])
        changed = {"boot_id": "another", "pid": stranger.pid, "start_ticks": ticks}
        records.write(directory, "launch.json", {**launch, **changed, "cgroup": ""})
        os.close(directory)
        plain.start()
        assert "rebooted" in plain.client(2).ask("query", name="a")["record"]["lost"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_a_pid_that_is_another_process_by_now_gets_no_signal(home: Path) -> None:
    keeper = Keeper(home / "root", "--no-cgroups")
    stranger = subprocess.Popen(["sleep", "999"], start_new_session=True)
    try:
        keeper.client().launch("a", "sleep", "999")
        keeper.kill()
        directory = os.open(keeper.root / "a", os.O_RDONLY)
        launch = records.read(directory, "launch.json")
        assert launch is not None
        other = {"pid": stranger.pid, "start_ticks": launch["start_ticks"] + 1000}
        records.write(directory, "launch.json", {**launch, **other})
        os.close(directory)
        keeper.start()
        assert stranger.poll() is None
        assert not alive(launch["pid"])  # still found, by its environment
    finally:
        stranger.kill()
        stranger.wait()
        keeper.close()


@pytest.mark.parametrize("damage", ["torn", "newer"])
def test_an_end_that_cannot_be_read_is_no_guess(plain: Keeper, damage: str) -> None:
    client = plain.client()
    client.launch("a", "true")
    client.end("a")
    path = plain.root / "a/exit.json"
    if damage == "torn":
        path.write_bytes(path.read_bytes().rstrip()[:-20])
    else:
        record = {**json.loads(path.read_text())["record"], "version": 99}
        body = json.dumps(record, sort_keys=True).encode()
        path.write_bytes(b'{"crc32": "%08x", "record": %s}' % (records.binascii.crc32(body), body))
    with pytest.raises(Refusal, match="damaged" if damage == "torn" else "newer version"):
        client.ask("query", name="a")


def test_one_root_has_one_keeper(plain: Keeper) -> None:
    command = [sys.executable, "-m", "runner.keeper", "--root", str(plain.root)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 75
    assert "another keeper" in second.stderr
    assert plain.client().welcome["pid"] == plain.pid


@pytest.mark.parametrize(
    "words", [["--root"], ["--nonsense", "1"], [], ["--root", "/x", "--idle-exit", "y"]]
)
def test_a_bad_command_line_is_told_in_words(words: list[str]) -> None:
    command = [sys.executable, "-m", "runner.keeper", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
