"""Mounts of host paths: what lies there, and not what a name says."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.plan import Mount
from runner.executors.container.granted import Denied, look
from runner.planning.grants import is_never
from runner.planning.policy import HostPath
from runner.ways import strays, trusted, walk


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


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Links that lead about in a directory."""
    made = tmp_path_factory.mktemp("ways")
    (made / "models/v2").mkdir(parents=True)
    (made / "models/latest").symlink_to("v2")
    (made / "models/up").symlink_to("..")
    (made / "models/v2/abs").symlink_to(made / "models")
    (made / "models/v2/up").symlink_to("../../models/latest")
    return made


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


def planned(srv: Path, source: str, *, root: str = "") -> str:
    roots = [HostPath(root or str(srv))]
    return strays(str(srv / source), roots, roots, is_never)


def test_planning_sees_what_would_be_denied_at_the_start(srv: Path) -> None:
    assert "leads out" in planned(srv, "state")
    assert "never" in planned(srv, "out")
    assert "is not there" in planned(srv, "models/absent")
    assert planned(srv, "models/latest") == ""


def test_what_a_link_leads_to_is_asked_of_the_same_rules_as_a_name(srv: Path) -> None:
    """B22: also where the granted path is itself a link to it, or to what holds it."""
    for target in ("/etc/ssl", "/var/lib"):
        link = srv / "linked"
        link.symlink_to(target)
        assert "never" in planned(srv, "linked", root=str(link))
        with pytest.raises(Denied, match="never"):
            look([Mount(str(link), "/data")], [HostPath(str(link))], str(srv.parent / "state"))
        link.unlink()
    mounts, granted = [Mount(str(srv / "models"), "/data")], [HostPath(str(srv))]
    with pytest.raises(Denied, match="never"):
        look(mounts, granted, str(srv.parent / "state"), [str(srv / "models/v2")])


@pytest.mark.parametrize("way", [".", "models"])
def test_where_others_may_exchange_what_is_mounted_nothing_is(srv: Path, way: str) -> None:
    (srv / way).chmod(0o777)
    assert f"by way of {srv / way}".removesuffix("/.") in planned(srv, "models/v2")
    with pytest.raises(Denied, match="may exchange"):
        at(srv, "models/v2")
    (srv / way).chmod(0o775)
    with pytest.raises(Denied, match="may exchange"):
        at(srv, "models/v2")


def test_what_is_mounted_may_itself_be_open_to_all(srv: Path) -> None:
    (srv / "models/v2").chmod(0o777)
    assert at(srv, "models/v2") == str(srv / "models/v2")
    (srv / "models").chmod(0o1777)  # in a sticky directory, one's own stays one's own
    assert at(srv, "models/latest") == str(srv / "models/v2")


@pytest.mark.root
def test_an_owner_may_exchange_what_is_theirs_whatever_its_mode(srv: Path) -> None:
    os.chown(srv / "models", 10001, 10001)
    with pytest.raises(Denied, match="may exchange"):
        at(srv, "models/v2")
    assert at(srv, "models") == str(srv / "models")
    srv.chmod(0o1777)
    with pytest.raises(Denied, match="may exchange"):
        at(srv, "models")
    os.chown(srv / "models", 0, 0)
    os.lchown(srv / "models/latest", 10001, 10001)  # which leads to nothing that is not granted
    assert at(srv, "models/latest") == str(srv / "models/v2")


@pytest.mark.root
def test_a_granted_path_is_a_link_of_the_sites_alone(srv: Path) -> None:
    """Else who may exchange the link says what is granted."""
    link = srv / "linked"
    link.symlink_to("models")
    where = [HostPath(str(link))]
    (seen,) = look([Mount(str(link / "v2"), "/d")], where, str(srv.parent / "state"))
    assert seen.source == str(srv / "models/v2")
    srv.chmod(0o777)
    with pytest.raises(Denied, match="may exchange"):
        look([Mount(str(link / "v2"), "/d")], where, str(srv.parent / "state"))


def test_a_way_without_end_is_told_and_leaves_nothing_open(srv: Path) -> None:
    (srv / "a").symlink_to("b")
    (srv / "b").symlink_to("a")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(OSError, match="symbolic links"):
        walk(str(srv / "a"), trusted([]))
    file, real = walk(f"{srv}/models/latest", trusted([]))
    os.close(file)
    assert real == f"{srv}/models/v2"
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@given(st.lists(st.sampled_from(["models", "latest", "v2", "abs", "up", "absent", "."])))
def test_a_way_leads_where_the_kernel_goes(ways: Path, names: list[str]) -> None:
    path = "/".join([str(ways), *names])
    try:
        file, real = walk(path, trusted([]))
    except OSError as error:
        with pytest.raises(type(error)):
            Path(path).stat()
        return
    os.close(file)
    assert real == os.path.realpath(path, strict=True)
