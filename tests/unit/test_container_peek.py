"""What the kernel tells of a container's first process: whether it is kept in as it was to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.executors.container import peek

KEPT = {
    "State": "S (sleeping)",
    "Uid": "7\t7\t7\t7",
    "Gid": "8\t8\t8\t8",
    "CapPrm": "0000000000000000",
    "CapEff": "0000000000000000",
    "CapBnd": "0000000000000000",
    "NoNewPrivs": "1",
    "Seccomp": "2",
}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peek, "_FILTERED", 0.0)


def process(proc: Path, **changed: str) -> int:
    """The pid of a process with such lines in its status."""
    (proc / "7").mkdir()
    lines = (f"{key}:\t{value}\n" for key, value in {**KEPT, **changed}.items())
    (proc / "7" / "status").write_text("".join(lines))
    return 7


async def test_what_is_kept_in_lacks_nothing(tmp_path: Path) -> None:
    assert await peek.loosened(process(tmp_path), "7:8", tmp_path) == ""


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("Uid", "0\t0\t0\t0", "uid 0, not 7"),
        ("Uid", "7\t7\t0\t7", "uid"),
        ("Gid", "0\t0\t0\t0", "gid 0, not 8"),
        ("CapEff", "0000000000000400", "capabilities"),
        ("CapBnd", "00000000a80425fb", "capabilities"),
        ("NoNewPrivs", "0", "new privileges"),
        ("Seccomp", "0", "seccomp"),
    ],
)
async def test_what_its_engine_left_loose_is_found(
    tmp_path: Path, key: str, value: str, told: str
) -> None:
    assert told in await peek.loosened(process(tmp_path, **{key: value}), "7:8", tmp_path)


async def test_what_has_ended_says_nothing(tmp_path: Path) -> None:
    assert await peek.loosened(7, "7:8", tmp_path) == ""
    assert (
        await peek.loosened(process(tmp_path, State="Z (zombie)", Uid="0"), "7:8", tmp_path) == ""
    )
