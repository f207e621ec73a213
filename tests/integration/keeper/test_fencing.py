"""Who is obeyed: the latest daemon of one journal, and only users that may ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runner.keeper.messages import encode
from tests.support.keeper_client import LAUNCH, Client, Keeper, Refusal, alive
from tests.support.users import DAEMON_UID, TASK_UID

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")


def test_what_a_dead_daemon_was_sending_is_never_done(plain: Keeper) -> None:
    old = plain.client(1)
    other = plain.client(1, hello=False)
    marker = plain.root.parent / "marker"
    frame = encode({**LAUNCH, "argv": ["touch", str(marker)], "id": 2})
    for half_sent in (old, other):
        half_sent.socket.sendall(frame[:100])
    new = plain.client(2)
    for half_sent in (old, other):
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            half_sent.socket.sendall(frame[100:])
    assert new.ask("query", name="a")["state"] == "absent"
    assert new.ask("list") == {"type": "done", "id": 3, "running": [], "names": []}
    assert not marker.exists()


def test_an_older_daemon_is_refused_and_the_newer_one_stays(plain: Keeper) -> None:
    new = plain.client(5)
    with pytest.raises(Refusal, match="OLD_EPOCH"):
        Client(plain.root, 4)
    assert new.ask("list")["running"] == []
    assert plain.client(5).ask("list")["running"] == []  # the same one again takes over


def test_the_daemon_of_another_journal_must_wait_until_the_first_has_gone(plain: Keeper) -> None:
    first = plain.client(7)
    with pytest.raises(Refusal, match="OTHER_JOURNAL"):
        Client(plain.root, 1, journal="other")
    first.close()
    plain.clients.remove(first)
    assert plain.client(1, journal="other").ask("list")["running"] == []


def test_another_protocol_is_refused_with_what_to_do(plain: Keeper) -> None:
    client = plain.client(hello=False)
    with pytest.raises(Refusal, match="reload the keeper"):
        client.ask("hello", protocol=99, epoch=1, journal="j")


@pytest.mark.root
@needs_root
def test_another_user_may_not_ask(plain: Keeper) -> None:
    (plain.root / "keeper.sock").chmod(0o777)
    program = (
        "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
        "print(s.recv(999)); print(s.recv(999))"
    )
    words = [_python(), "-c", program, str(plain.root / "keeper.sock")]
    done = subprocess.run(words, user=DAEMON_UID, group=DAEMON_UID, capture_output=True, check=True)
    assert b"WRONG_USER" in done.stdout
    assert done.stdout.endswith(b"b''\n")


@pytest.mark.root
@needs_root
def test_users_of_tasks_are_bounded(home: Path) -> None:
    keeper = Keeper(home / "root", "--allow-users", f"{TASK_UID},70000-70009")
    client = keeper.client()
    for user in ([0, 0], None, [70010, 70010], [TASK_UID - 1, TASK_UID]):
        with pytest.raises(Refusal, match="WRONG_USER"):
            client.launch("a", "true", user=user)
    client.launch("a", "sh", "-c", "id -u; id -G; stat -c %u . ../task", user=[70009, 70008])
    assert client.end("a")["code"] == 0
    assert keeper.stdout("a").split() == [b"70009", b"70008", b"70009", b"70009"]
    keeper.close()


@pytest.mark.root
@needs_root
@pytest.mark.parametrize(
    ("options", "user", "answer"),
    [
        ((), [0, 0], "WRONG_USER"),
        ((), None, "WRONG_USER"),
        ((), [TASK_UID, TASK_UID], "WRONG_USER"),
        ((), [DAEMON_UID, DAEMON_UID], "running"),
        (("--allow-users", str(TASK_UID)), [TASK_UID, TASK_UID], "running"),
        (("--allow-users", str(TASK_UID)), [TASK_UID, 0], "WRONG_USER"),
        (("--allow-users", str(TASK_UID)), [DAEMON_UID, DAEMON_UID], "WRONG_USER"),
    ],
)
def test_an_ordinary_daemon_gets_no_more_than_it_was_given(
    home: Path, options: tuple[str, ...], user: list[int] | None, answer: str
) -> None:
    keeper = Keeper(home / "root", "--daemon-uid", str(DAEMON_UID), *options)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(DAEMON_UID, DAEMON_UID, DAEMON_UID)
            os.setresuid(DAEMON_UID, DAEMON_UID, DAEMON_UID)
            client = Client(keeper.root)
            try:
                said = client.launch("a", "true", user=user)["state"]
                client.end("a")
                (keeper.root / "a/output/stdout").read_bytes()
                client.ask("remove", name="a")
            except Refusal as refusal:
                said = refusal.code
            os.write(writing, said.encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb") as stream:  # noqa: PTH123 - a descriptor
        assert stream.read().decode() == answer
    assert alive(keeper.pid)
    keeper.close()


def _python() -> str:
    return str(Path("/usr/bin/python3")) if Path("/usr/bin/python3").exists() else sys.executable
