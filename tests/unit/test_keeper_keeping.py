"""What is kept of a disk, on any file system: whole, plain files of the task's own, and no more."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.keeper import files, keeping

MIB = 1024 * 1024


@pytest.fixture
def own(tmp_path: Path) -> Iterator[int]:
    for name in ("workspace/out", "task"):
        (tmp_path / "disk" / name).mkdir(parents=True)
    directory = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield directory
    os.close(directory)


def keep(own: int, *patterns: str, size: int = MIB) -> int:
    """How many steps it took."""
    return sum(1 for _ in keeping.keep(own, patterns, {os.geteuid()}, size))


def left_out(own: int, *patterns: str) -> dict[str, str]:
    """What it says of what it has not kept."""
    steps = keeping.keep(own, patterns, {os.geteuid()}, MIB)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            left: dict[str, str] = end.value
            return left


def kept(path: Path) -> list[str]:
    found = (path / "kept/workspace").rglob("*")
    return sorted(
        str(each.relative_to(path / "kept/workspace")) for each in found if each.is_file()
    )


def test_a_large_file_takes_many_steps_and_comes_out_the_same(own: int, tmp_path: Path) -> None:
    data = os.urandom(3 * MIB + 17)
    (tmp_path / "disk/workspace/out/large").write_bytes(data)
    assert keep(own, "out/*", size=4 * MIB) > 12
    assert (tmp_path / "kept/workspace/out/large").read_bytes() == data


def test_holes_stay_holes_and_what_is_only_a_hole_is_kept(own: int, tmp_path: Path) -> None:
    for name, parts in (("hole", ()), ("between", (0, 500_000)), ("end", (700_000,))):
        with (tmp_path / "disk/workspace" / name).open("wb") as file:
            file.truncate(MIB)
            for at in parts:
                file.seek(at)
                file.write(b"data")
    keep(own, "*")
    for name in ("hole", "between", "end"):
        copy = tmp_path / "kept/workspace" / name
        assert copy.read_bytes() == (tmp_path / "disk/workspace" / name).read_bytes()
        assert copy.stat().st_blocks * 512 < 100_000


def test_a_file_that_claims_more_than_the_disk_had_is_left_out(own: int, tmp_path: Path) -> None:
    with (tmp_path / "disk/workspace/huge").open("wb") as file:
        file.truncate(MIB + 1)
    keep(own, "*")
    assert kept(tmp_path) == []


def test_a_directory_that_is_named_is_kept_with_all_below_it(own: int, tmp_path: Path) -> None:
    work = tmp_path / "disk/workspace"
    (work / "out/a/b").mkdir(parents=True)
    for name in ("out/1", "out/a/2", "out/a/b/3", "other"):
        (work / name).write_text(name)
    keep(own, "out")
    assert kept(tmp_path) == ["out/1", "out/a/2", "out/a/b/3"]


def test_links_pipes_and_second_names_are_left_out(own: int, tmp_path: Path) -> None:
    work = tmp_path / "disk/workspace"
    (tmp_path / "secret").write_text("secret")
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "dir").symlink_to(tmp_path)
    os.mkfifo(work / "fifo")
    (work / "one").write_text("1")
    (work / "two").hardlink_to(work / "one")
    (work / "plain").write_text("plain")
    (tmp_path / "disk/task/result.json").symlink_to(tmp_path / "secret")
    keep(own, "**", "dir/secret", "../../secret")
    assert kept(tmp_path) == ["plain"]
    assert list((tmp_path / "kept/task").iterdir()) == []


def test_a_file_that_is_named_is_kept_however_much_lies_beside_it(own: int, tmp_path: Path) -> None:
    work = tmp_path / "disk/workspace"
    for number in range(10_001):
        (work / f"a{number}").touch()
    for name in ("zz", "out/zz"):
        (work / name).write_text("z")
    assert left_out(own, "zz", "out", "none") == {}
    assert kept(tmp_path) == ["out/zz", "zz"]
    assert "more to look through" in left_out(own, "*z")["*z"]


def test_what_is_left_out_is_told_with_the_reason(own: int, tmp_path: Path) -> None:
    work = tmp_path / "disk/workspace/out"
    (work / "one").write_text("1")
    (work / "two").hardlink_to(work / "one")
    with (work / "huge").open("wb") as file:
        file.truncate(MIB + 1)
    left = left_out(own, "out")
    assert sorted(left) == ["out/huge", "out/one", "out/two"]
    assert "larger" in left["out/huge"]
    assert "hard link" in left["out/two"]


def test_the_result_is_kept_without_a_pattern(own: int, tmp_path: Path) -> None:
    (tmp_path / "disk/task/result.json").write_text("{}")
    keep(own)
    assert (tmp_path / "kept/task/result.json").read_text() == "{}"
    assert not (tmp_path / "kept/workspace").exists()


def test_of_a_long_report_the_end_is_kept_and_its_size(own: int, tmp_path: Path) -> None:
    data = os.urandom(5 * MIB)
    (tmp_path / "disk/task/progress.jsonl").write_bytes(data)
    assert keep(own, size=8 * MIB) < 20
    copy = (tmp_path / "kept/task/progress.jsonl").read_bytes()
    assert len(copy) == len(data)
    assert copy[-2 * MIB :] == data[-2 * MIB :]
    assert not any(copy[: -2 * MIB])


def test_why_a_report_was_not_kept_is_told(own: int, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "disk/task/progress.jsonl")
    with (tmp_path / "disk/task/result.json").open("wb") as file:
        file.truncate(1 << 40)
    keep(own)
    root = os.open(tmp_path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        why = [keeping.untold(root, tmp_path.name, file) for file in (*keeping.TOLD, "other")]
        assert keeping.notes(root, tmp_path.name, "*") == ([], False)  # that is of outputs
    finally:
        os.close(root)
    assert why == ["it claims to be larger than the disk", "it is not a regular file", "", ""]


def test_kept_twice_it_is_the_same(own: int, tmp_path: Path) -> None:
    (tmp_path / "disk/workspace/a").write_text("a")
    keep(own, "a", "*", "a")
    keep(own, "a")
    assert kept(tmp_path) == ["a"]


def test_a_file_that_many_patterns_name_is_copied_once(own: int, tmp_path: Path) -> None:
    data = os.urandom(4 * MIB)
    (tmp_path / "disk/workspace/out/large").write_bytes(data)
    once = keep(own, "out/large", size=5 * MIB)
    (tmp_path / "kept/workspace/out/large").unlink()
    patterns = ["out/large", "out/*", "out", "**", "*/large", "**/large"] * 20
    assert keep(own, *patterns, size=5 * MIB) < once + 40 * len(patterns)
    assert (tmp_path / "kept/workspace/out/large").read_bytes() == data


def test_all_patterns_together_look_at_a_bounded_number(own: int, tmp_path: Path) -> None:
    work = tmp_path / "disk/workspace"
    for number in range(2000):
        (work / f"a{number}").touch()
    patterns = [f"**/none{number}" for number in range(200)]
    assert keep(own, *patterns) <= keeping._LOOKED_AT + len(patterns)
    assert "more to look through" in " ".join(left_out(own, *patterns).values())


def test_what_was_refused_is_told_for_the_patterns_that_name_it(own: int, tmp_path: Path) -> None:
    work = tmp_path / "disk/workspace"
    (work / "link").symlink_to("/etc/passwd")
    os.mkfifo(work / "out/fifo")
    keep(own, "link", "out")
    root = os.open(tmp_path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        told = {pattern: keeping.notes(root, tmp_path.name, pattern) for pattern in ("l*", "out")}
    finally:
        os.close(root)
    ((link,), cut), below = told["l*"], told["out"]
    assert (link["path"], link["kind"], cut) == ("link", "link", False)
    assert "link" in link["why"]
    assert below == ([], False)


@given(st.lists(st.sampled_from(["**", "*", "a", "b", "a*"]), max_size=6), st.data())
def test_a_path_matches_as_often_as_a_search_finds_it(
    parts: list[str], data: st.DataObject
) -> None:
    pattern = "/".join(parts)
    path = "/".join(data.draw(st.lists(st.sampled_from("ab"), min_size=1, max_size=4)))
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / path
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.touch()
        place = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            found = {each for each, status in files.Search(place, pattern) if status is not None}
        finally:
            os.close(place)
    assert (path in found) == files.matches(pattern, path)
