"""How paths of the host come into a sandbox: small ones copied, links kept, the rest mounted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.keeper.hostpaths import HostPaths


class Options:
    """What would be told to bwrap, with the contents of what would be copied."""

    def __init__(self) -> None:
        self.known = HostPaths()

    def of(self, *paths: Path) -> list[str]:
        files: list[int] = []

        def add(file: int) -> str:
            files.append(file)
            return os.read(file, 100).decode()

        try:
            return self.known.options(tuple(map(str, paths)), add)
        finally:
            for file in files:
                os.close(file)


@pytest.fixture
def etc(home: Path) -> Path:
    (home / "small").write_text("one")
    (home / "small").chmod(0o644)
    (home / "few").mkdir()
    (home / "few/a").write_text("a")
    (home / "many").mkdir()
    for number in range(9):
        (home / f"many/{number}").write_text("x")
    return home


def test_each_kind_comes_in_its_own_way(etc: Path) -> None:
    (etc / "inside").symlink_to("few/a")
    (etc / "outside").symlink_to("small")
    (etc / "dangling").symlink_to("nowhere")
    names = ["small", "few", "many", "inside", "outside", "dangling", "absent"]
    words = Options().of(*(etc / name for name in names))
    assert words == [
        *("--perms", "0444", "--file", "one", f"{etc}/small"),
        *("--dir", f"{etc}/few", "--perms", "0444", "--file", "a", f"{etc}/few/a"),
        *("--ro-bind", f"{etc}/many", f"{etc}/many"),
        *("--symlink", "few/a", f"{etc}/inside"),
        *("--perms", "0444", "--file", "one", f"{etc}/outside"),
    ]


def test_a_change_is_seen_by_the_next_sandbox(etc: Path) -> None:
    options, path = Options(), etc / "small"
    assert "one" in options.of(path)
    path.write_text("two")
    assert "two" in options.of(path)
    (etc / "new").write_text("three")
    (etc / "new").rename(path)
    assert "three" in options.of(path)
    path.unlink()
    assert options.of(path) == []
    path.mkdir()
    assert options.of(path) == ["--ro-bind", str(path), str(path)]


def test_what_not_everybody_may_read_is_never_copied(etc: Path) -> None:
    options, directory = Options(), etc / "few"
    assert "a" in options.of(directory)
    (directory / "a").chmod(0o600)  # the directory's own entry has not changed by that
    assert options.of(directory) == []
    assert options.of(directory) == ["--ro-bind", str(directory), str(directory)]
