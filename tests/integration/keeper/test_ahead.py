"""What a keeper has ready for the next task: it is that task's alone, shows the host as it is, and
goes with the keeper."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.keeper.ahead import PREFIX
from tests.support.keeper_client import Client, Keeper, alive, eventually, sealed

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root for users and disks"),
]
MIB = 1024 * 1024
LIMITS = {"memory": 64 * MIB, "cpu": 1, "processes": 20, "disk": MIB}
STRICT: dict[str, Any] = {"level": "strict", "network": "none", "limits": LIMITS}


@pytest.fixture
def shown() -> Iterator[Path]:
    """A file of the host that tasks see; not below /tmp, where they have their own."""
    directory = Path(tempfile.mkdtemp(prefix="er-shown-", dir="/run"))
    directory.chmod(0o755)
    path = directory / "shown"
    path.write_text("before")
    path.chmod(0o644)
    yield path
    shutil.rmtree(directory)


@pytest.fixture
def users() -> str:
    return "2100000000-2100000009"


@pytest.fixture
def options(users: str, shown: Path) -> list[str]:
    return ["--task-users", users, "--view", f"/usr:/bin:/lib:/lib64:{shown}"]


@pytest.fixture
def keeper(home: Path, options: list[str]) -> Iterator[Keeper]:
    keeper = Keeper(home / "root", *options, sandboxed=True)
    yield keeper
    keeper.close()


def ready(keeper: Keeper) -> set[Path]:
    """The grounds that it has made."""
    return set(keeper.root.glob(f"{PREFIX}*"))


def run(client: Client, name: str, script: str = ":", **words: Any) -> dict[str, Any]:
    reply = client.launch(name, "sh", "-c", script, **{**STRICT, **words})
    assert reply["state"] == "running"
    return client.end(name)


def below(keeper: Keeper, name: str) -> list[psutil.Process]:
    """Its children and theirs of that name."""
    found = []
    for each in psutil.Process(keeper.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):  # it has ended
            if each.name() == name:
                found.append(each)
    return found


def is_ready(keeper: Keeper) -> bool:
    """Whether a sandbox is made, and a child waits in there, which is a fork of the keeper."""
    waiting = below(keeper, psutil.Process(keeper.pid).name())
    with contextlib.suppress(psutil.Error):
        return bool(ready(keeper)) and any(each.uids().real >= 2100000000 for each in waiting)
    return False


def warm(keeper: Keeper, name: str = "first") -> Client:
    """A client after a first task, once the ground for the next like it is there."""
    client = keeper.client()
    run(client, name)
    eventually(lambda: is_ready(keeper), "another ground is made")
    return client


def test_the_next_task_of_that_shape_has_it_for_itself_and_it_is_clean(keeper: Keeper) -> None:
    client = warm(keeper)
    (ground,) = ready(keeper)
    inode = ground.stat().st_ino
    show = "id -u; pwd; ls -A . /tmp /dev/shm; cat /run/env-runner/context.json; exit 7"
    record = run(client, "next", show)
    assert record["code"] == 7
    assert (keeper.root / "next").stat().st_ino == inode
    assert not ground.exists()
    uid, *rest = keeper.stdout("next").decode().split("\n")
    assert 2100000000 <= int(uid) <= 2100000009
    assert "\n".join(rest) == "/workspace\n.:\n\n/dev/shm:\n\n/tmp:\n{}"
    assert record["leftovers"] == 0


def test_a_task_of_another_shape_does_not_get_it(keeper: Keeper) -> None:
    client = warm(keeper)
    before = ready(keeper)
    for number, words in enumerate(
        (
            {"limits": {**LIMITS, "disk": 2 * MIB}},
            {"limits": {**LIMITS, "memory": 32 * MIB}},
            {"level": "standard", "network": "host"},
        )
    ):
        run(client, f"other{number}", "df -k . | tail -n 1", **words)
        assert before <= ready(keeper)
    assert b" 2048 " in keeper.stdout("other0")
    run(client, "same", "df -k . | tail -n 1")
    assert b" 1024 " in keeper.stdout("same")
    assert not before & ready(keeper)


def test_no_two_have_a_user_and_the_last_one_is_given_up_for_a_task(keeper: Keeper) -> None:
    client = warm(keeper)
    for number in range(10):  # of ten users, one of which is waiting with its ground
        words = {"limits": {**LIMITS, "memory": (16 + number) * MIB}}
        client.launch(f"t{number}", "sh", "-c", "id -u; sleep 99", **{**STRICT, **words})
        keeper.says(f"t{number}", b"\n")
    assert len({keeper.stdout(f"t{number}") for number in range(10)}) == 10
    for number in range(10):
        client.ask("stop", name=f"t{number}", grace=0)
    for number in range(10):
        client.end(f"t{number}")


def test_it_shows_the_host_as_it_is_when_the_task_starts(keeper: Keeper, shown: Path) -> None:
    client = warm(keeper)
    aside = shown.with_name("aside")
    aside.write_text("after")
    aside.chmod(0o644)
    aside.rename(shown)
    run(client, "a", f"cat {shown}")
    assert keeper.stdout("a") == b"after"


def test_one_whose_sandbox_was_killed_is_not_used(keeper: Keeper) -> None:
    client = warm(keeper)
    (ground,) = ready(keeper)
    below(keeper, "bwrap")[0].kill()
    eventually(lambda: not ground.exists(), "it is given up")
    assert run(client, "a", "exit 3")["code"] == 3


def test_a_call_of_another_size_gets_it_too(keeper: Keeper) -> None:
    client = keeper.client()
    for name, size in (("first", 9_000), ("second", 30_000), ("third", 100)):
        before = ready(keeper)
        file = sealed(b"#" * size)
        client.launch(name, "true", files=[file], task_files=["call.py"], **STRICT)
        os.close(file)
        assert client.end(name)["code"] == 0
        if before:
            eventually(lambda: not before & ready(keeper), "that one was taken")  # noqa: B023
        eventually(lambda: is_ready(keeper), "another is made")


def test_a_larger_context_gets_its_room_and_a_launch_that_fails_leaves_none(
    keeper: Keeper,
) -> None:
    client = warm(keeper)
    reply = client.launch("bad", "no-such-program", **STRICT)
    assert (reply["state"], reply["stage"]) == ("failed", "exec")
    reply = client.launch("deep", "true", cwd="/".join(["d"] * 2000), **STRICT)
    assert reply["state"] == "failed"  # a disk of a mebibyte has not that many inodes
    eventually(lambda: len(ready(keeper)) <= 1, "what failed is gone")
    assert run(client, "good", "exit 4")["code"] == 4


def test_nothing_of_it_outlives_a_keeper_that_ends_or_dies(keeper: Keeper) -> None:
    warm(keeper)
    processes = psutil.Process(keeper.pid).children(recursive=True)
    keeper.kill()
    eventually(lambda: not any(alive(each.pid) for each in processes), "its processes are gone")
    keeper.start()
    assert ready(keeper) == set()
    warm(keeper, "again")
    processes = psutil.Process(keeper.pid).children(recursive=True)
    keeper.signal(signal.SIGTERM)
    keeper.gone()
    eventually(lambda: not any(alive(each.pid) for each in processes), "those are gone too")
    assert ready(keeper) == set()


def test_a_reload_ends_it_and_makes_another(keeper: Keeper) -> None:
    warm(keeper)
    old = ready(keeper)
    keeper.signal(signal.SIGHUP)
    eventually(lambda: "reloaded, with" in keeper.log.read_text(), "it is reloaded")
    assert not old & ready(keeper)
    client = keeper.client(2)
    run(client, "second", "exit 5")
    eventually(lambda: ready(keeper), "the new version makes one")


def test_where_users_are_few_an_idle_keeper_is_idle(home: Path, shown: Path) -> None:
    options = ["--task-users", "2100000000-2100000001", "--view", f"/usr:/bin:/lib:/lib64:{shown}"]
    keeper = Keeper(home / "root", *options, sandboxed=True)
    try:
        client = keeper.client()
        for number in range(4):
            run(client, f"t{number}", limits={**LIMITS, "memory": (16 + number) * MIB})
        eventually(lambda: "no user is free" in keeper.log.read_text(), "it gives up for a while")
        kept = ready(keeper)
        assert 1 <= len(kept) <= 2
        assert run(client, "another", "exit 3", limits={**LIMITS, "memory": 32 * MIB})["code"] == 3
    finally:
        keeper.close()


HIDDEN = """
import ctypes, os, threading, time
print(os.getuid(), flush=True)
if os.fork() == 0:
    os.setsid()
    def work():
        while True:
            pass
    for _ in range(3):
        threading.Thread(target=work).start()
    ctypes.CDLL(None).syscall(60, 0)  # of its first thread alone, whose place then looks empty
time.sleep(0.3)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="cannot here: a number of x86-64")
def test_no_thread_of_a_task_lives_when_its_end_is_told(keeper: Keeper) -> None:
    client = warm(keeper)
    for number in range(3):
        name = f"t{number}"
        limits = {**LIMITS, "cpu": 0.2}
        words: dict[str, Any] = {**STRICT, "limits": limits}
        client.launch(name, "/usr/bin/python3", "-c", HIDDEN, **words)
        client.end(name)
        uid = int(keeper.stdout(name))
        alive_ones = []
        for each in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if each.uids().real == uid and each.name() not in {"bwrap", "sh"}:
                    alive_ones.append(each)
        assert alive_ones == []


def test_without_cgroups_nothing_is_made_ahead(home: Path, options: list[str]) -> None:
    keeper = Keeper(home / "root", "--no-cgroups", *options, sandboxed=True)
    try:
        client = keeper.client()
        run(client, "a", "exit 3")
        run(client, "b", "sleep 0.2; exit 4")
        assert ready(keeper) == set()
    finally:
        keeper.close()
