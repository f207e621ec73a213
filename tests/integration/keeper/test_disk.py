"""A sized disk: in memory, bounded, seen by nobody else, gone at the end but for what is kept."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner.keeper.ahead import PREFIX as AHEAD
from tests.support.keeper_client import Client, Keeper, Refusal, eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to mount"),
]
MIB = 1024 * 1024


@pytest.fixture
def sized(home: Path) -> Iterator[Keeper]:
    keeper = Keeper(home / "root", "--task-users", "2100000000-2100000009")
    yield keeper
    keeper.close()


def mounts(keeper: Keeper) -> list[str]:
    """Where the keeper has something mounted for attempts, but for those to come."""
    lines = Path(f"/proc/{keeper.pid}/mountinfo").read_text().splitlines()
    points = (line.split()[4] for line in lines if str(keeper.root) in line)
    return [point for point in points if f"/{AHEAD}" not in point]


def run(client: Client, name: str, script: str, size: int | None = MIB, **words: Any) -> None:
    reply = client.launch(name, "sh", "-c", script, limits={"disk": size}, **words)
    assert reply["state"] == "running"


def test_it_says_that_it_can_hold_one(sized: Keeper) -> None:
    assert sized.client().welcome["held"]["disk"] == ""


def test_a_disk_that_is_full_at_the_end_is_told_with_its_limit_and_use(sized: Keeper) -> None:
    client = sized.client()
    run(client, "full", "head -c 2000000 /dev/zero >a")
    run(client, "inodes", "i=0; while : >f$i; do i=$((i+1)); done; exit 3")
    run(client, "under", "head -c 500000 /dev/zero >a")
    run(client, "freed", "head -c 2000000 /dev/zero >a; rm a; exit 1")
    full, under, inodes = client.end("full"), client.end("under"), client.end("inodes")
    assert (full["disk_full"], full["disk_limit"], full["disk_used"]) == (True, MIB, MIB)
    assert (inodes["disk_full"], under["disk_full"], client.end("freed")["disk_full"]) == (
        True,
        False,
        False,
    )
    assert [each["disk_files"] for each in (full, inodes, under)] == [0, 1024, 0]
    assert 500_000 < under["disk_used"] < 600_000
    assert (full["code"], under["code"]) == (1, 0)


def test_a_task_without_a_size_has_none(sized: Keeper) -> None:
    client = sized.client()
    run(client, "a", "head -c 2000000 /dev/zero >a", None)
    record = client.end("a")
    assert (record["disk_limit"], record["disk_used"], record["disk_full"]) == (None, 0, False)
    assert (sized.root / "a/disk/workspace/a").stat().st_size == 2_000_000


def test_the_host_sees_nothing_of_it_and_the_keeper_nothing_after_the_end(sized: Keeper) -> None:
    client = sized.client()
    run(client, "a", "touch here; echo up; sleep 999")
    sized.says("a", b"up")
    assert mounts(sized) == [f"{sized.root}/a/disk"]
    assert list((sized.root / "a/disk").iterdir()) == []
    client.ask("open", name="a", place="workspace", path="here")
    client.ask("stop", name="a", grace=1)
    client.end("a")
    assert mounts(sized) == []
    with pytest.raises(Refusal, match="ABSENT"):
        client.ask("open", name="a", place="workspace", path="here")
    client.ask("remove", name="a")
    assert not (sized.root / "a").exists()


KEEP = """
mkdir -p out/deep tree/er; echo one >out/1.txt; echo 'two' >out/deep/2.txt; echo x >out/skip
echo t >tree/er/t; ln -s /etc/passwd out/link.txt; mkfifo out/fifo.txt; ln out/1.txt out/hard.txt
truncate -s 1T out/huge.txt; truncate -s 700000 out/hole.txt; printf end >>out/hole.txt
echo '{"value": 1}' >"$RESULT"; echo left >other
"""


def test_what_is_to_be_kept_outlives_it_and_nothing_else_does(sized: Keeper) -> None:
    client = sized.client()
    result = f"{sized.root}/a/disk/task/result.json"
    words: dict[str, Any] = {"keep": ["out/**/*.txt", "tree", "none/*"], "env": {"RESULT": result}}
    run(client, "a", KEEP, 2 * MIB, **words)
    assert client.end("a")["code"] == 0
    found = client.ask("find", name="a", pattern="**")["found"]
    kept_whole = [each for each in found if each["kind"] == "file" and "why" not in each]
    files = {each["path"]: each["size"] for each in kept_whole}
    assert files == {"out/deep/2.txt": 4, "out/hole.txt": 700_003, "tree/er/t": 2}
    refused = {each["path"]: each["why"] for each in found if "why" in each}
    assert refused == {
        "out/1.txt": "it has a second name (hard link)",
        "out/fifo.txt": "it is not a regular file",
        "out/hard.txt": "it has a second name (hard link)",
        "out/huge.txt": "it claims to be larger than the disk",
        "out/link.txt": "a link is in its way, or it leads out of the directory",
    }
    kept = sized.root / "a/kept/workspace/out/hole.txt"
    assert kept.read_bytes() == bytes(700_000) + b"end"
    assert kept.stat().st_blocks * 512 < 100_000
    client.ask("open", name="a", place="task", path="result.json")
    assert os.read(client.files[-1], 100) == b'{"value": 1}\n'
    client.ask("open", name="a", place="workspace", path="out/deep/2.txt")
    assert os.read(client.files[-1], 100) == b"two\n"


def test_what_was_cut_off_when_it_was_kept_is_not_told_to_be_all(sized: Keeper) -> None:
    client = sized.client()
    script = "mkdir a; seq -f a/%.0f 10001 | xargs touch; touch zz"
    run(client, "a", script, 128 * MIB, keep=["zz", "*/none"])
    assert client.end("a")["code"] == 0
    assert client.ask("find", name="a", pattern="zz")["complete"]
    assert not client.ask("find", name="a", pattern="*/none")["complete"]


def test_an_end_is_told_once_all_is_kept_and_other_tasks_go_on_meanwhile(sized: Keeper) -> None:
    client = sized.client()
    run(client, "large", "head -c 150000000 /dev/urandom >a", 200 * MIB, keep=["a"])
    client.python("other", "print(1)")
    assert client.end("large")["code"] == 0
    assert (sized.root / "large/kept/workspace/a").stat().st_size == 150_000_000
    assert mounts(sized) == []
    assert client.end("other")["code"] == 0


def test_it_goes_on_through_a_reload(sized: Keeper) -> None:
    client = sized.client()
    run(client, "a", "echo 1 >kept; echo up; while [ ! -e go ]; do sleep 0.01; done", keep=["kept"])
    sized.says("a", b"up")
    client.send("reload")
    eventually(lambda: b"reloaded" in sized.log.read_bytes(), "it has reloaded")
    client = sized.client(2)
    assert mounts(sized) == [f"{sized.root}/a/disk"]
    go = Path(f"/proc/{sized.pid}/root{sized.root}/a/disk/workspace/go")
    go.touch()
    record = client.end("a")
    assert (record["code"], record["disk_limit"]) == (0, MIB)
    assert (sized.root / "a/kept/workspace/kept").read_text() == "1\n"
    assert mounts(sized) == []


def test_it_is_gone_with_a_keeper_that_dies(sized: Keeper) -> None:
    client = sized.client()
    run(client, "a", "touch here; echo up; sleep 999")
    sized.says("a", b"up")
    sized.signal(signal.SIGKILL)
    sized.gone()
    sized.start()
    client = sized.client(2)
    assert client.ask("query", name="a")["record"]["lost"]
    assert mounts(sized) == []
    with pytest.raises(Refusal, match="ABSENT"):
        client.ask("open", name="a", place="workspace", path="here")
    client.ask("remove", name="a")
    assert not (sized.root / "a").exists()


def test_as_many_patterns_as_a_payload_may_name_can_be_kept(sized: Keeper) -> None:
    client = sized.client()
    patterns = [f"{'long/' * 200}{number}" for number in range(999)]
    run(client, "a", "touch last", keep=[*patterns, "last"])
    assert client.end("a")["code"] == 0
    assert (sized.root / "a/kept/workspace/last").exists()
    run(client, "b", "echo up; sleep 999", keep=patterns)
    sized.says("b", b"up")
    sized.kill()
    sized.start()
    assert sized.client(2).ask("query", name="b")["record"]["lost"]


def test_a_launch_that_fails_leaves_nothing_mounted(sized: Keeper) -> None:
    client = sized.client()
    words: dict[str, Any] = {"limits": {"disk": MIB}}
    assert client.launch("a", "no-such-program", **words)["stage"] == "exec"
    assert client.launch("b", "true", cwd="../x", **words)["stage"] == "working_dir"
    assert mounts(sized) == []
