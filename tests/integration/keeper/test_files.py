"""Files across users: only what is plainly the task's own is opened, nothing is followed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from runner.keeper.ahead import PREFIX as AHEAD
from tests.support.keeper_client import Client, Keeper, Refusal, eventually

MAKE = """
mkdir -p out/deep/er; echo one > out/1.txt; echo two > out/2.txt; echo x > out/deep/er/3.txt
ln -s /etc/passwd link; ln -s out dir; mkfifo fifo; ln out/2.txt hard; echo .h > .hidden
ln -s /etc/passwd "$ENV_RUNNER_CONTEXT.link"; printf '\\377' > "$(printf 'bad\\377')"
"""


@pytest.fixture
def client(plain: Keeper) -> Client:
    client = plain.client()
    client.launch("a", "sh", "-c", MAKE)
    assert client.end("a")["code"] == 0
    return client


def test_a_plain_file_is_handed_over_for_reading(client: Client) -> None:
    reply = client.ask("open", name="a", place="workspace", path="out/1.txt")
    assert reply["size"] == 4
    file = client.files[-1]
    assert os.read(file, 100) == b"one\n"
    with pytest.raises(OSError, match="Bad file"):
        os.write(file, b"x")
    client.ask("open", name="a", place="task", path="context.json")
    assert os.read(client.files[-1], 100) == b"{}"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("link", "link"),
        ("dir/1.txt", "link"),
        ("fifo", "regular"),
        ("out", "regular"),
        ("hard", "second name"),
        ("../launch.json", "leads out"),
        ("out/../../exit.json", "leads out"),
    ],
)
def test_what_may_be_a_trap_is_refused(client: Client, path: str, why: str) -> None:
    with pytest.raises(Refusal, match=f"REFUSED.*{why}"):
        client.ask("open", name="a", place="workspace", path=path)


@pytest.mark.parametrize(
    ("name", "path"), [("a", "none"), ("a", "out/1.txt/x"), ("a", ""), ("b", "out/1.txt")]
)
def test_what_is_not_there_is_told_so(client: Client, name: str, path: str) -> None:
    with pytest.raises(Refusal, match=r"ABSENT|FAILED: Not a directory"):
        client.ask("open", name=name, place="workspace", path=path)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_a_file_of_another_user_is_refused(client: Client, plain: Keeper) -> None:
    os.chown(plain.root / "a/disk/workspace/out/1.txt", 12345, 12345)
    with pytest.raises(Refusal, match="another user"):
        client.ask("open", name="a", place="workspace", path="out/1.txt")


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("out/*.txt", ["out/1.txt", "out/2.txt"]),
        (
            "out/**",
            ["out", "out/1.txt", "out/2.txt", "out/deep", "out/deep/er", "out/deep/er/3.txt"],
        ),
        ("**/*.txt", ["out/1.txt", "out/2.txt", "out/deep/er/3.txt"]),
        ("**/er/?.txt", ["out/deep/er/3.txt"]),
        ("dir/*", []),
        ("li*", ["link"]),
        ("../*", []),
        ("", []),
    ],
)
def test_what_matches_is_found_and_no_link_is_followed(
    client: Client, pattern: str, paths: list[str]
) -> None:
    reply = client.ask("find", name="a", pattern=pattern)
    assert [each["path"] for each in reply["found"]] == paths
    assert reply["complete"]


def test_what_is_found_says_what_it_is(client: Client) -> None:
    found = client.ask("find", name="a", pattern="*")["found"]
    kinds = {each["path"]: (each["kind"], each["own"]) for each in found}
    assert kinds == {
        ".hidden": ("file", True),
        "dir": ("link", True),
        "fifo": ("other", True),
        "hard": ("file", False),
        "link": ("link", True),
        "out": ("directory", True),
    }


def test_a_crowd_of_files_is_cut_off_and_said_to_be(plain: Keeper) -> None:
    client = plain.client()
    client.launch("a", "sh", "-c", "i=0; while [ $i -lt 1500 ]; do : > $i; i=$((i+1)); done")
    client.end("a")
    reply = client.ask("find", name="a", pattern="*")
    assert (len(reply["found"]), reply["complete"]) == (1000, False)
    assert client.ask("remove", name="a")
    assert not (plain.root / "a").exists()


def of_attempts(keeper: Keeper) -> list[str]:
    """What lies in its root, but for its own and what it has ready for the next task."""
    names = {path.name for path in keeper.root.iterdir()} - {"keeper.sock", "lock"}
    return sorted(name for name in names if not name.startswith(AHEAD))


def test_removal_follows_nothing_and_may_be_repeated(plain: Keeper, home: Path) -> None:
    outside = home / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    client = plain.client()
    script = (
        f"ln -s {outside} a; mkdir d; ln -s {outside}/kept d/b; chmod 000 d; mkdir e; chmod 555 e"
    )
    client.launch("a", "sh", "-c", script)
    client.end("a")
    client.ask("remove", name="a")
    client.ask("remove", name="a")
    assert (outside / "kept").read_text() == "kept"
    assert client.ask("list")["names"] == []
    assert client.ask("query", name="a")["state"] == "absent"
    assert of_attempts(plain) == []


def test_endless_depth_is_removed(plain: Keeper) -> None:
    client = plain.client()
    dig = "import os\nfor _ in range(3000):\n os.mkdir('d'); open('f', 'w').close(); os.chdir('d')"
    client.python("a", dig)
    assert client.end("a")["code"] == 0
    client.ask("remove", name="a")
    assert of_attempts(plain) == []


def test_what_runs_is_not_removed(plain: Keeper) -> None:
    client = plain.client()
    client.launch("a", "sleep", "999")
    with pytest.raises(Refusal, match="RUNNING"):
        client.ask("remove", name="a")
    client.ask("stop", name="a", grace=1)
    client.end("a")
    client.ask("remove", name="a")


def test_a_removal_that_was_cut_off_is_finished_by_the_next_keeper(plain: Keeper) -> None:
    plain.kill()
    left = plain.root / ".removing.a.1/disk/workspace/deep"
    left.mkdir(parents=True)
    (left / "file").touch()
    plain.start()
    assert not (plain.root / ".removing.a.1").exists()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to mount")
def test_a_removal_goes_on_in_the_version_that_takes_over(plain: Keeper) -> None:
    client = plain.client()
    client.python("a", "for n in range(30000): open(f'f{n}', 'w').close()")
    assert client.end("a")["code"] == 0
    client.send("remove", name="a")
    client.send("reload")
    eventually(lambda: "reloaded, with" in plain.log.read_text(), "it is reloaded")
    assert plain.client(2).ask("query", name="a")["state"] == "absent"
    eventually(lambda: of_attempts(plain) == [], "all of it is removed")


def test_what_cannot_be_removed_is_said_and_holds_nothing_up(plain: Keeper) -> None:
    client = plain.client()
    client.launch("a", "mkdir", "mounted")
    client.end("a")
    mounted = plain.root / "a/disk/workspace/mounted"
    inside = ("nsenter", "--mount", "--target", str(plain.pid))  # the keeper has its own mounts
    subprocess.run([*inside, "mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
    try:
        with pytest.raises(Refusal, match="cannot be removed"):
            client.ask("remove", name="a")
        client.launch("b", "true")
        assert client.end("b")["code"] == 0
    finally:
        at = next(plain.root.glob(".removing.*/disk/workspace/mounted"))
        subprocess.run([*inside, "umount", str(at)], check=True)
    eventually(lambda: client.ask("query", name="a")["state"] == "absent", "it is out of the way")
