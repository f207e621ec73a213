"""A keeper that replaces itself: its tasks, their output and their times go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.keeper_client import Client, Hung, Keeper, eventually

COUNT = """
import sys, time
for number in range(20000):
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
    if number % 100 == 0:
        time.sleep(0.002)
sys.exit(9)
"""


def hung_up(client: Client) -> bool:
    try:
        while True:
            client.receive()
    except (Hung, ConnectionResetError):
        return True


def test_output_goes_on_byte_for_byte_through_many_reloads(keeper: Keeper) -> None:
    epoch = 1
    client = keeper.client(epoch)
    instance = client.welcome["instance"]
    for name in ("a", "b", "c"):
        client.python(name, COUNT)
    for _ in range(5):
        if epoch % 2:
            keeper.signal(signal.SIGHUP)
        else:
            client.send("reload")
        assert hung_up(client)
        epoch += 1
        client = keeper.client(epoch)
        assert client.welcome["instance"] == instance
        assert client.welcome["pid"] == keeper.pid
    expected = b"".join(b"%d\n" % number for number in range(20000))
    for name in ("a", "b", "c"):
        reply = client.ask("query", name=name)
        record = reply.get("record") or client.end(name)
        assert (record["code"], record["lost"]) == (9, "")
        assert keeper.stdout(name) == expected
        assert record["written"] == record["kept"] == [len(expected), 0]


def test_stops_deadlines_and_counts_go_on(keeper: Keeper) -> None:
    client = keeper.client()
    stubborn = "trap '' TERM; echo up; while :; do sleep 1000; done"
    client.launch("asked", "sh", "-c", stubborn)
    client.launch("late", "sh", "-c", stubborn, wall=2.0, grace=0.1)
    client.launch("full", "sh", "-c", "echo 123456; read x </dev/zero", output=4, wall=2.0)
    client.launch("after", "sleep", "999")
    client.launch("ended", "true")
    client.end("ended")
    for name in ("asked", "late"):
        keeper.says(name, b"up")
    keeper.says("full", b"1234")
    client.ask("stop", name="asked", grace=1.5)
    client.send("reload")
    assert hung_up(client)
    client = keeper.client(2)
    client.ask("stop", name="after", grace=5)
    assert client.end("after")["stopped"] == "requested"
    asked = client.end("asked")
    assert (asked["stopped"], asked["signal"], asked["killed"]) == ("requested", 9, True)
    assert client.end("late")["stopped"] == "wall_time"
    full = client.end("full")
    assert (full["written"][0], full["kept"][0], full["cause"]) == (7, 4, "output limit")
    assert client.ask("query", name="ended")["record"]["code"] == 0


def test_no_descriptor_is_left_over_and_none_reaches_a_task(plain: Keeper) -> None:
    client = plain.client()
    client.launch("a", "sleep", "999")
    before = psutil.Process(plain.pid).num_fds()
    limits = (
        "import os, resource; print(sorted(os.listdir('/proc/self/fd')), resource.getrlimit(7))"
    )
    client.python("b", limits)
    client.end("b")
    for epoch in (2, 3):
        client.send("reload")
        assert hung_up(client)
        client = plain.client(epoch)
    eventually(lambda: psutil.Process(plain.pid).num_fds() <= before, "as few as before")
    client.python("c", limits)
    client.end("c")
    assert plain.stdout("c") == plain.stdout("b")
    name = psutil.Process(plain.pid).name()  # that of a child which waits for the next task
    left = [each.name() for each in psutil.Process(plain.pid).children()]
    assert sorted(set(left) - {name}) == ["sleep"]
    assert len(left) <= 2


def test_what_died_during_the_exec_is_reaped_after_it(keeper: Keeper) -> None:
    client = keeper.client()
    for number in range(20):
        client.launch(f"t{number}", "sh", "-c", f"sleep 0.0{number:02}; exit {number}")
    client.send("reload")
    assert hung_up(client)
    client = keeper.client(2)
    for number in range(20):
        reply = client.ask("query", name=f"t{number}")
        record = reply.get("record") or client.end(f"t{number}")
        assert record["code"] == number


def test_a_state_that_the_new_version_cannot_read_is_refused_before_anything_happens() -> None:
    command = [sys.executable, "-m", "runner.keeper", "--root", "/nonexistent", "--check-state"]
    project = str(Path(__file__).parents[3])
    for state in (json.dumps({"version": 2}), json.dumps({"version": 1}), "[", ""):
        done = subprocess.run(
            command,
            input=state,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": project},
        )
        assert done.returncode == 78
        assert done.stderr.count("\n") == 1


def test_a_version_that_cannot_start_leaves_the_old_one_in_charge(home: Path) -> None:
    package = home / "code/runner"
    package.mkdir(parents=True)
    project = Path(__file__).parents[3]
    (package / "__init__.py").write_text('__version__ = "1"\n')
    (package / "keeper").symlink_to(project / "runner/keeper")
    keeper = Keeper(home / "root", code=home / "code")
    client = keeper.client()
    client.launch("a", "sleep", "999")
    (package / "__init__.py").write_text("this is no Python at all\n")
    client.ask("reload")
    eventually(lambda: "not reloaded" in keeper.log.read_text(), "it says that it goes on")
    client.ask("stop", name="a", grace=5)
    assert client.end("a")["stopped"] == "requested"
    keeper.close()
