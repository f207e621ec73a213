"""Mounts of host paths: what lies there, and not what a name says."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.domain.plan import Mount
from runner.executors.container.granted import Denied, look
from runner.host import leads_out
from runner.planning.policy import HostPath


@pytest.fixture
def srv(nothing_is_left: Path) -> Iterator[Path]:
    """A granted directory, with links in it that stay and that lead out."""
    srv = nothing_is_left / "srv"
    (srv / "models/v2").mkdir(parents=True)
    (srv / "models/latest").symlink_to("v2")
    (srv / "out").symlink_to("/")
    (srv / "state").symlink_to("../state")
    (nothing_is_left / "state").mkdir()
    yield srv
    shutil.rmtree(srv)
    (nothing_is_left / "state").rmdir()


def at(srv: Path, source: str, *, writable: bool = False, read_only: bool = True) -> str:
    mount = Mount(str(srv / source), "/data", read_only)
    own = str(srv.parent / "state")
    (seen,) = look([mount], [HostPath(str(srv), writable)], own)
    return seen.source


def test_what_lies_below_is_had_by_where_it_really_is(srv: Path) -> None:
    assert at(srv, "models/v2") == str(srv / "models/v2")
    assert at(srv, "models/latest") == str(srv / "models/v2")
    assert at(srv, ".") == str(srv)


@pytest.mark.parametrize("source", ["out", "out/etc", "state", "models/absent"])
def test_what_a_link_leads_out_to_is_denied(srv: Path, source: str) -> None:
    """B23."""
    with pytest.raises(Denied):
        at(srv, source)


def test_writing_needs_a_grant_of_its_own(srv: Path) -> None:
    with pytest.raises(Denied):
        at(srv, "models", read_only=False)
    assert at(srv, "models", writable=True, read_only=False)


def test_the_runners_own_files_are_shown_to_nobody(srv: Path) -> None:
    """B22: neither they nor what holds them, whatever is granted."""
    home = srv.parent
    for source in (home, home / "state"):
        with pytest.raises(Denied, match="own files"):
            look([Mount(str(source), "/data")], [HostPath(str(home))], str(home / "state"))


def test_planning_sees_a_link_that_leads_out(srv: Path) -> None:
    assert leads_out(str(srv / "out"), str(srv))
    assert not leads_out(str(srv / "models/latest"), str(srv))
    assert not leads_out(str(srv / "absent"), str(srv))
