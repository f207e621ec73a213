"""A keeper of an ordinary user: the strict sandbox needs no privilege, and what does is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.keeper_client import Client, Keeper, Refusal, eventually
from tests.support.users import DAEMON_UID, reason_against_users

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(bool(reason_against_users()), reason=reason_against_users() or "-"),
    pytest.mark.skipif(
        not Path("/usr/bin/bwrap").exists(),
        reason="there is no bubblewrap: apt-get install bubblewrap",
    ),
]


@pytest.fixture
def ordinary(home: Path) -> Iterator[Keeper]:
    os.chown(home, DAEMON_UID, DAEMON_UID)
    keeper = Keeper(home / "root", "--no-ahead", sandboxed=True, user=DAEMON_UID)
    yield keeper
    keeper.close()


@pytest.fixture
def client(ordinary: Keeper) -> Client:
    return ordinary.client()


def test_it_says_what_it_can_hold_and_why_not_the_rest(client: Client) -> None:
    levels, held = client.welcome["levels"], client.welcome["held"]
    assert (levels["strict"], levels["none"], client.welcome["users"]) == ("", "", "")
    assert "not root" in levels["standard"]
    assert "not root" in held["disk"]


def test_a_task_is_its_user_in_a_sandbox_and_nothing_of_it_is_left(
    ordinary: Keeper, client: Client
) -> None:
    script = "id -u; ls /; ls /proc | grep -c '^[0-9]'; (setsid sleep 999 &); exit 3"
    client.launch("a", "sh", "-c", script, level="strict", network="none")
    record = client.end("a")
    assert (record["code"], record["leftovers"]) == (3, 1)
    said = ordinary.stdout("a").split()
    assert said[0] == b"%d" % DAEMON_UID
    assert b"root" not in said
    assert b"home" not in said
    assert int(said[-1]) < 10
    eventually(lambda: not psutil.Process(ordinary.pid).children(), "nothing is left")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ({"level": "standard"}, "LEVEL_NOT_HELD"),
        ({"level": "strict", "user": [0, 0]}, "WRONG_USER"),
        ({"level": "none", "user": [DAEMON_UID + 1, DAEMON_UID]}, "WRONG_USER"),
        ({"level": "strict", "limits": {"disk": 1 << 20}}, "LIMIT_NOT_HELD"),
    ],
)
def test_what_only_root_could_do_is_refused(
    client: Client, words: dict[str, object], code: str
) -> None:
    with pytest.raises(Refusal) as refusal:
        client.launch("a", "true", **words)  # type: ignore[arg-type]  # of several types
    assert refusal.value.code == code


def test_a_host_path_is_seen_as_it_was_granted(
    ordinary: Keeper, client: Client, home: Path
) -> None:
    (home / "granted").mkdir()
    (home / "granted/file").write_text("data\n")
    (home / "link").symlink_to("granted")
    mount = {"source": str(home / "granted"), "target": "/data", "read_only": True}
    client.launch("a", "sh", "-c", "cat /data/file; touch /data/x", level="strict", mounts=[mount])
    assert client.end("a")["code"] == 1
    assert ordinary.stdout("a") == b"data\n"
    linked = {**mount, "source": str(home / "link")}
    assert client.launch("b", "true", level="strict", mounts=[linked])["stage"] == "mounts"
