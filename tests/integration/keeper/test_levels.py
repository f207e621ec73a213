"""What holds at each level, with cgroups and without: ends, signals, leftovers, times, reloads."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.keeper_client import LAUNCH, Client, Hung, Keeper, alive, eventually

FIRST, LAST = 2_100_000_000, 2_100_000_009
BARE = {key: value for key, value in LAUNCH.items() if key not in ("type", "id")}
BARE |= {"env": {"PATH": "/usr/bin:/bin"}, "wall": 60}
STUBBORN = "trap '' TERM; echo up; while :; do sleep 1000; done"
LEVELS = ["strict", "standard", "none"] if os.geteuid() == 0 else ["strict", "none"]

pytestmark = pytest.mark.skipif(
    not Path("/usr/bin/bwrap").exists(), reason="there is no bubblewrap: apt-get install bubblewrap"
)


class Tasks:
    """A keeper's client that launches at one level."""

    def __init__(self, keeper: Keeper, level: str) -> None:
        self.keeper = keeper
        self.level = level
        self.epoch = 0
        self.client: Client = self.again()

    def again(self) -> Client:
        self.epoch += 1
        self.client = self.keeper.client(self.epoch)
        return self.client

    def launch(self, name: str, *argv: str, **words: Any) -> Any:
        return self.client.launch(name, *argv, level=self.level, **words)

    def sh(self, name: str, script: str, **words: Any) -> Any:
        reply = self.launch(name, "sh", "-c", script, **words)
        assert reply["state"] == "running", reply
        return reply

    def end(self, name: str) -> dict[str, Any]:
        return self.client.end(name)

    def reload(self) -> None:
        self.client.send("reload")
        with contextlib.suppress(Hung, ConnectionResetError):
            while True:
                self.client.receive()
        self.again()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.keeper.pid).children(recursive=True)


@pytest.fixture(params=["cgroups", "traced"])
def found_by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=LEVELS)
def tasks(request: pytest.FixtureRequest, home: Path, found_by: str) -> Iterator[Tasks]:
    options = ["--no-cgroups"] if found_by == "traced" else []
    options += ["--task-users", f"{FIRST}-{LAST}"] if os.geteuid() == 0 else []
    keeper = Keeper(home / "root", "--no-ahead", *options)
    yield Tasks(keeper, request.param)
    keeper.close()


def test_exit_codes_and_signals_are_told_apart(tasks: Tasks) -> None:
    assert tasks.client.welcome["levels"][tasks.level] == ""
    tasks.sh("code", "exit 137")
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP):
        tasks.sh(f"signal-{int(number)}", f"kill -{int(number)} $$")
    assert (tasks.end("code")["code"], tasks.end("code")["signal"]) == (137, None)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP):
        record = tasks.end(f"signal-{int(number)}")
        assert (record["code"], record["signal"]) == (None, number)


def test_it_has_a_directory_for_temporary_files_of_its_own(tasks: Tasks) -> None:
    where = "/tmp" if tasks.level == "strict" else f"{tasks.keeper.root}/a/disk/tmp"
    tasks.sh("a", 'mktemp && stat -c %a "$TMPDIR"', env={"TMPDIR": where})
    assert tasks.end("a")["code"] == 0
    path, mode = tasks.keeper.stdout("a").decode().split()
    assert (path.startswith(f"{where}/"), mode) == (True, "700")
    assert len(list((tasks.keeper.root / "a/disk/tmp").iterdir())) == 1


def test_a_grandchild_that_hides_is_killed_and_counted_and_nothing_else_is(tasks: Tasks) -> None:
    tasks.sh("a", "(setsid sleep 999 &); exit 0")
    record = tasks.end("a")
    assert (record["code"], record["leftovers"], record["killed"]) == (0, 1, False)
    tasks.sh("b", "true")
    assert tasks.end("b")["leftovers"] == 0
    eventually(lambda: not tasks.children(), "nothing is left")


def test_who_ignores_a_stop_is_killed_after_the_grace(tasks: Tasks) -> None:
    tasks.sh("asked", STUBBORN)
    tasks.sh("late", STUBBORN, wall=1.5, grace=0.1)
    tasks.sh("obeys", "trap 'exit 4' TERM; echo up; while :; do sleep 0.01; done")
    for name in ("asked", "late", "obeys"):
        tasks.keeper.says(name, b"up")
    tasks.client.ask("stop", name="asked", grace=0.1)
    tasks.client.ask("stop", name="obeys", grace=20)
    asked, late, obeys = tasks.end("asked"), tasks.end("late"), tasks.end("obeys")
    assert (asked["stopped"], asked["signal"], asked["killed"]) == ("requested", 9, True)
    assert (late["stopped"], late["signal"], late["killed"]) == ("wall_time", 9, True)
    assert (obeys["stopped"], obeys["code"], obeys["killed"]) == ("requested", 4, False)


def test_zombies_are_reaped_and_no_code_is_mixed_up(tasks: Tasks) -> None:
    zombies = "i=0; while [ $i -lt 100 ]; do (true &) ; i=$((i+1)); done; echo up; exec sleep 999"
    tasks.sh("z", zombies)
    for number in range(20):
        tasks.sh(f"t{number}", f"exit {number}")
    assert [tasks.end(f"t{number}")["code"] for number in range(20)] == list(range(20))
    tasks.keeper.says("z", b"up")
    tasks.client.ask("stop", name="z", grace=5)
    tasks.end("z")
    eventually(lambda: not tasks.children(), "all zombies are reaped")


def test_many_launches_at_once_each_have_their_own_end(tasks: Tasks) -> None:
    names = [f"t{number}" for number in range(8)]
    words = {**BARE, "level": tasks.level, "argv": ["sh", "-c", "exit 5"]}
    for name in names:
        tasks.client.send("launch", **{**words, "name": name})
    assert [tasks.end(name)["code"] for name in names] == [5] * 8


def test_a_stop_and_a_reload_that_come_before_the_start_wait_for_it(tasks: Tasks) -> None:
    words = {**BARE, "level": tasks.level}
    for name in ("a", "b"):
        tasks.client.send("launch", **{**words, "name": name, "argv": ["sleep", "999"]})
    tasks.client.send("stop", name="a", grace=30)
    tasks.reload()
    record = tasks.client.ask("query", name="a").get("record") or tasks.end("a")
    assert (record["stopped"], record["signal"], record["lost"]) == ("requested", 15, "")
    assert tasks.client.ask("query", name="b")["state"] == "running"
    tasks.client.ask("stop", name="b", grace=30)
    assert tasks.end("b")["signal"] == signal.SIGTERM


def test_a_program_that_is_not_there_is_told_and_leaves_nothing(tasks: Tasks) -> None:
    reply = tasks.launch("a", "no-such-program")
    assert (reply["state"], reply["stage"], reply["errno"]) == ("failed", "exec", 2)
    assert tasks.client.ask("query", name="a")["state"] == "absent"
    eventually(lambda: not tasks.children(), "nothing is left")
    tasks.sh("a", "exit 6")
    assert tasks.end("a")["code"] == 6


def test_a_task_goes_on_through_reloads(tasks: Tasks) -> None:
    tasks.sh("a", "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done")
    tasks.sh("b", "(setsid sleep 999 &); echo up; while [ ! -e ../go ]; do sleep 0.01; done")
    for name in ("a", "b"):
        tasks.keeper.says(name, b"up")
    for _ in range(2):
        tasks.reload()
    tasks.client.ask("stop", name="a", grace=20)
    record = tasks.end("a")
    assert (record["code"], record["leftovers"]) == (7, 0)
    assert tasks.keeper.stdout("a") == b"up\nbye\n"
    tasks.client.ask("stop", name="b", grace=20)
    assert tasks.end("b")["signal"] == signal.SIGTERM
    assert tasks.end("b")["leftovers"] >= 1
    eventually(lambda: not tasks.children(), "nothing is left")


def test_with_the_keeper_all_of_it_dies_and_is_lost(tasks: Tasks) -> None:
    tasks.sh("a", "(setsid sleep 999 &); echo up; sleep 999")
    tasks.keeper.says("a", b"up")
    left = tasks.children()
    tasks.keeper.kill()
    tasks.keeper.start()
    # the first process of a sandbox may wait for init to reap what was orphaned
    eventually(lambda: not any(alive(process.pid) for process in left), "all of it is gone")
    assert tasks.again().ask("query", name="a")["record"]["lost"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_a_sandbox_that_cannot_be_made_is_told_with_its_reason(home: Path) -> None:
    keeper = Keeper(home / "root", "--task-users", f"{FIRST}-{LAST}", sandboxed=True)
    client = keeper.client()
    keeper.root.chmod(0o700)  # its users cannot come through any more
    reply = client.launch("a", "true", level="strict", limits={"disk": 1 << 20})
    assert (reply["state"], reply["stage"]) == ("failed", "sandbox")
    assert "Permission denied" in reply["text"]
    assert client.ask("query", name="a")["state"] == "absent"
    eventually(lambda: not psutil.Process(keeper.pid).children(), "nothing is left")
    keeper.root.chmod(0o711)
    client.launch("a", "true", level="strict")
    assert client.end("a")["code"] == 0
    keeper.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_a_sandbox_that_is_never_ready_is_a_launch_that_failed(home: Path) -> None:
    keeper = Keeper(home / "root", "--task-users", f"{FIRST}-{LAST}", sandboxed=True)
    client = keeper.client()
    client.launch("first", "true", level="strict")
    if client.welcome["mode"] != "cgroup2":
        keeper.close()
        pytest.skip("cannot here: without cgroups nothing can be frozen")
    record = json.loads((keeper.root / "first/launch.json").read_text())["record"]
    client.end("first")
    freeze = Path(record["cgroup"].splitlines()[0]).parent / "cgroup.freeze"
    freeze.write_text("1")  # whatever is forked into a group below stands still
    number = client.send("launch", **{**BARE, "name": "a", "level": "strict"})
    reply = client.receive()
    assert (reply["id"], reply["state"], reply["stage"]) == (number, "failed", "sandbox")
    freeze.write_text("0")
    keeper.close()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_each_that_runs_has_the_lowest_user_that_none_other_has(tasks: Tasks) -> None:
    if tasks.level == "none":
        tasks.sh("a", "id -u")
        tasks.end("a")
        assert tasks.keeper.stdout("a") == b"0\n"
        return
    for name in ("a", "b"):
        tasks.sh(name, "id -u; touch mine; exec sleep 999")
        tasks.keeper.says(name, b"\n")
    tasks.reload()
    tasks.client.ask("stop", name="a", grace=5)
    tasks.end("a")
    for name in ("c", "d"):
        tasks.sh(name, "id -u; exec sleep 999")
        tasks.keeper.says(name, b"\n")
    uids = {name: int(tasks.keeper.stdout(name)) for name in "abcd"}
    assert uids == {"a": FIRST, "b": FIRST + 1, "c": FIRST, "d": FIRST + 2}
    disk = (tasks.keeper.root / "a/disk").stat()
    assert (disk.st_uid, disk.st_mode & 0o777) == (0, 0o700)
    assert (tasks.keeper.root / "a/disk/workspace/mine").stat().st_uid == FIRST
    tasks.client.ask("open", name="a", place="workspace", path="mine")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_no_task_is_started_without_a_user_of_its_own(tasks: Tasks) -> None:
    if tasks.level == "none":
        pytest.skip("cannot here: the level has no users of its own")
    for number in range(LAST - FIRST + 1):
        tasks.sh(f"t{number}", "exec sleep 999")
    reply = tasks.launch("more", "true")
    assert (reply["state"], reply["stage"]) == ("failed", "user")
    tasks.client.ask("stop", name="t3", grace=5)
    tasks.end("t3")
    tasks.sh("more", "id -u")
    tasks.end("more")
    assert tasks.keeper.stdout("more") == b"%d\n" % (FIRST + 3)
