"""The directory of an attempt in a container: what its task finds there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.executors.container.place import Places, barred


@pytest.fixture
def closed() -> Iterator[None]:
    """The umask of a daemon."""
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.mark.parametrize(("context", "said"), [(None, b"{}"), (b'{"a":1}', b'{"a":1}')])
def test_the_file_that_a_variable_names_is_there(
    tmp_path: Path, context: bytes | None, said: bytes
) -> None:
    places = Places(tmp_path / "root")
    for _ in range(2):  # as after a crash
        places.make("er-1", (os.geteuid(), os.getegid()), context)
        assert (places.of("er-1") / "task" / "context.json").read_bytes() == said


@pytest.mark.usefixtures("closed")
def test_an_engine_of_another_user_gets_to_it_whatever_the_umask(tmp_path: Path) -> None:
    places = Places(tmp_path / "root")
    places.make("er-1", (os.geteuid(), os.getegid()), None)
    for each in (places.root, places.of("er-1")):
        assert each.stat().st_mode & 0o777 == 0o711
    for name in ("workspace", "task", "output"):
        assert places.of("er-1").joinpath(name).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("mode", "why"),
    [(0o700, "is closed to it"), (0o711, ""), (0o710, "")],  # it may be of the group
)
def test_a_directory_on_the_way_that_is_closed_to_its_engine_is_told(
    nothing_is_left: Path, mode: int, why: str
) -> None:
    state = nothing_is_left / "state"
    state.mkdir()
    state.chmod(mode)
    found = barred(state / "containers", f"{os.geteuid() + 1}:1")
    assert found.endswith(f"{state} {why}" if why else "")
    assert bool(found) is bool(why)
    assert barred(state, f"{os.geteuid()}:1") == barred(state, "") == ""
    state.rmdir()
