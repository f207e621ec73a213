"""Deadlines, silence and grace: kept by the keeper, also while no daemon is there."""

from __future__ import annotations

import signal
import sys

from tests.support.keeper_client import Keeper, eventually

STUBBORN = "trap '' TERM; echo up; while :; do sleep 1000; done"


def test_over_its_time_it_is_asked_and_then_killed(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", STUBBORN, wall=0.2, grace=0.2)
    record = client.end("a")
    assert (record["signal"], record["stopped"], record["killed"]) == (9, "wall_time", True)
    assert record["exit_time"] - record["start_time"] >= 400_000_000


def test_the_first_verdict_stands_also_where_it_then_exits_well(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", "trap 'exit 0' TERM; sleep 999 & wait", wall=0.2)
    record = client.end("a")
    assert (record["code"], record["stopped"], record["killed"]) == (0, "wall_time", False)


def test_silence_on_both_streams_is_counted_from_the_last_byte(keeper: Keeper) -> None:
    client = keeper.client()
    talk = "for i in 1 2 3 4 5; do sleep 0.1; echo $i >&$((i % 2 + 1)); done; sleep 999"
    client.launch("a", "sh", "-c", talk, idle=0.4)
    record = client.end("a")
    assert (record["stopped"], record["signal"]) == ("idle_time", signal.SIGTERM)
    assert sum(record["written"]) == 10
    assert record["exit_time"] - record["start_time"] >= 850_000_000


def test_a_deadline_is_kept_while_no_daemon_is_there(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", STUBBORN, wall=0.2, grace=0.2)
    client.socket.close()
    eventually((keeper.root / "a/exit.json").exists, "its end is recorded")
    record = keeper.client(2).ask("query", name="a")["record"]
    assert (record["signal"], record["stopped"]) == (9, "wall_time")


def test_a_stop_is_obeyed_though_the_daemon_dies_right_after_it(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", STUBBORN)
    keeper.says("a", b"up")
    client.send("stop", name="a", grace=0.2)
    client.socket.close()
    eventually((keeper.root / "a/exit.json").exists, "its end is recorded")
    record = keeper.client(2).ask("query", name="a")["record"]
    assert (record["signal"], record["stopped"], record["killed"]) == (9, "requested", True)


def test_of_two_stops_the_earlier_kill_stands(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", STUBBORN)
    keeper.says("a", b"up")
    client.ask("stop", name="a", grace=900)
    client.ask("stop", name="a", grace=0.1)
    client.ask("stop", name="a", grace=900)
    assert client.end("a")["killed"]


def test_a_stopped_process_is_continued_to_hear_that_it_shall_end(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", "trap 'exit 4' TERM; echo up; kill -STOP $$; sleep 999 & wait")
    keeper.says("a", b"up")
    client.ask("stop", name="a", grace=20)
    assert client.end("a")["code"] == 4


def test_what_left_the_process_group_is_killed_with_the_rest(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", f'(setsid sh -c "{STUBBORN}" &) ; {STUBBORN}', grace=0.1)
    eventually(lambda: keeper.stdout("a").count(b"up") == 2, "both are up")
    client.ask("stop", name="a", grace=0.1)
    record = client.end("a")
    assert (record["signal"], record["stopped"]) == (9, "requested")


def test_a_keeper_that_is_not_needed_leaves_by_itself(plain: Keeper) -> None:
    plain.signal(signal.SIGTERM)
    plain.gone()
    plain.start("--idle-exit", "0.2")
    client = plain.client()
    client.launch("a", "true")
    client.end("a")
    client.close()
    plain.clients.clear()
    client = plain.client(2)  # it is still there: that end was not seen
    client.ask("seen", name="a")
    assert plain.pid == client.welcome["pid"]
    client.close()
    plain.clients.clear()
    plain.gone()
    assert not (plain.root / "keeper.sock").exists()
    assert "nothing to do" in plain.log.read_text()
    assert sys.executable
