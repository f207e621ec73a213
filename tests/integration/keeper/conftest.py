"""A keeper for each test: with cgroups where the host has them, and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.keeper_client import Keeper
from tests.support.sandboxed import Sandboxed, reason_against


@pytest.fixture
def home(nothing_is_left: Path) -> Iterator[Path]:
    """A directory for a keeper's root, which goes away with all that is in it."""
    path = nothing_is_left / "k"
    path.mkdir(mode=0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(params=["cgroups", "traced"])
def keeper(request: pytest.FixtureRequest, home: Path) -> Iterator[Keeper]:
    """Both ways in which a keeper finds its processes."""
    keeper = Keeper(home / "root", *(["--no-cgroups"] if request.param == "traced" else []))
    yield keeper
    keeper.close()


@pytest.fixture
def plain(home: Path) -> Iterator[Keeper]:
    """A keeper as it comes, for what has nothing to do with finding processes."""
    keeper = Keeper(home / "root")
    yield keeper
    keeper.close()


@pytest.fixture(params=["root", "ordinary"])
def inside(request: pytest.FixtureRequest, home: Path) -> Iterator[Sandboxed]:
    """A sandbox as a keeper that is root makes it for another user, and one as an ordinary
    user's keeper makes it."""
    reason = reason_against(request.param)
    if reason:
        pytest.skip(reason)
    sandboxed = Sandboxed(request.param, home)
    yield sandboxed
    sandboxed.close()
