"""Host paths in the strict sandbox: exactly what was granted, as it was granted, and no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.keeper_client import Keeper, Refusal

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to mount"),
    pytest.mark.skipif(
        not Path("/usr/bin/bwrap").exists(),
        reason="there is no bubblewrap: apt-get install bubblewrap",
    ),
]


@pytest.fixture
def strict(home: Path) -> Iterator[Keeper]:
    roots = f"{home}/granted:rw,{home}/read,/dev,/proc"
    options = ("--task-users", "2100000000-2100000009", "--mounts", roots)
    keeper = Keeper(home / "root", *options, sandboxed=True)
    yield keeper
    keeper.close()


@pytest.fixture
def granted(home: Path) -> Path:
    """A directory that may be granted, with a way out of it that was put there."""
    path = home / "granted"
    (path / "below").mkdir(parents=True)
    (path / "below/file").write_text("data\n")
    (path / "out").symlink_to("/etc")
    path.chmod(0o777)
    return path


def mount(source: Path | str, *, read_only: bool = True, target: str = "/data") -> dict[str, Any]:
    return {"source": str(source), "target": target, "read_only": read_only}


def run(keeper: Keeper, script: str, *mounts: dict[str, Any]) -> tuple[Any, bytes]:
    client = keeper.client()
    reply = client.launch("a", "sh", "-c", f"{script} 2>&1", level="strict", mounts=mounts)
    if reply["state"] == "failed":
        return reply, b""
    return client.end("a"), keeper.stdout("a")


def test_it_is_seen_and_cannot_be_written_to(strict: Keeper, granted: Path) -> None:
    record, said = run(strict, "cat /data/below/file; touch /data/new", mount(granted))
    assert said.startswith(b"data\n")
    assert b"Read-only file system" in said
    assert record["code"] == 1


def test_it_can_be_written_to_where_that_was_granted(strict: Keeper, granted: Path) -> None:
    record, _ = run(strict, "echo more >/data/new", mount(granted, read_only=False))
    assert record["code"] == 0
    assert (granted / "new").read_text() == "more\n"
    assert (granted / "new").stat().st_uid == 2_100_000_000


def test_a_single_file_can_be_granted(strict: Keeper, granted: Path) -> None:
    one = mount(granted / "below/file", target="/srv/one")
    assert run(strict, "cat /srv/one; ls /srv", one)[1] == b"data\none\n"


def test_several_lie_side_by_side(strict: Keeper, granted: Path) -> None:
    both = (mount(granted), mount(granted / "below", target="/more/deep", read_only=False))
    assert (
        run(strict, "ls /data /more/deep", *both)[1] == b"/data:\nbelow\nout\n\n/more/deep:\nfile\n"
    )


@pytest.mark.parametrize("way", ["out", "out/ssl"])
def test_a_link_in_the_way_is_not_followed(strict: Keeper, granted: Path, way: str) -> None:
    reply, _ = run(strict, "ls /data", mount(granted / way))
    assert (reply["state"], reply["stage"]) == ("failed", "mounts")
    assert os.strerror(reply["errno"]) == "Too many levels of symbolic links"


@pytest.mark.parametrize(
    ("source", "way"),
    [
        ("/", "ro"),
        ("/etc", "ro"),
        ("{home}", "ro"),
        ("{home}/granted-not", "ro"),
        ("{home}/granted/../root", "ro"),
        ("{home}/read", "rw"),
    ],
)
def test_what_the_keeper_was_not_started_for_is_refused_whatever_the_daemon_says(
    strict: Keeper, home: Path, source: str, way: str
) -> None:
    wanted = mount(source.format(home=home), read_only=way == "ro")
    with pytest.raises(Refusal) as refusal:
        strict.client().launch("a", "true", level="strict", mounts=[wanted])
    assert refusal.value.code == "BAD_MOUNT"


def test_a_link_inside_leads_to_what_the_sandbox_has_there(strict: Keeper, granted: Path) -> None:
    (granted / "shadow").symlink_to("/etc/shadow")
    record, said = run(strict, "cat /data/shadow", mount(granted))
    assert b"No such file" in said
    assert record["code"] == 1


def test_what_is_not_there_or_is_a_device_is_a_launch_that_failed(
    strict: Keeper, granted: Path
) -> None:
    client = strict.client()
    for name, source in (("a", granted / "none"), ("b", "/dev/null"), ("c", "/proc/self/root")):
        reply = client.launch(name, "true", level="strict", mounts=[mount(source)])
        assert (reply["state"], reply["stage"]) == ("failed", "mounts")
        assert client.ask("query", name=name)["state"] == "absent"


def test_nothing_stays_mounted_after_the_end(strict: Keeper, granted: Path) -> None:
    run(strict, "ls /data", mount(granted))
    lines = Path(f"/proc/{strict.pid}/mountinfo").read_text().splitlines()
    assert not [line for line in lines if str(strict.root) in line]
    (granted / "below/file").unlink()
    strict.client(2).ask("remove", name="a")
    assert granted.exists()


def test_a_removal_never_reaches_through_a_mount(strict: Keeper, granted: Path) -> None:
    client = strict.client()
    client.launch(
        "a",
        "sh",
        "-c",
        "echo up; exec sleep 999",
        level="strict",
        mounts=[mount(granted, read_only=False)],
    )
    strict.says("a", b"up")
    strict.kill()
    strict.start()
    strict.client(2).ask("remove", name="a")
    assert (granted / "below/file").read_text() == "data\n"
