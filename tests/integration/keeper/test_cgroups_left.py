"""Groups that a killed keeper left: the next one kills what is in them, and removes them from every
hierarchy, also where it runs in other groups than the first.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import records
from runner.keeper.cgroups_group import Group
from tests.support.grouped import MIB
from tests.support.keeper_client import Keeper, alive
from tests.support.leaks import Place

LIMITS = {"memory": 64 * MIB, "cpu": 0.5, "processes": 20}


@pytest.fixture
def left(plain: Keeper) -> Group:
    """The group of a task whose keeper was killed."""
    program = "setsid sleep 999 & echo $!; exec sleep 999"
    plain.client().launch("a", "sh", "-c", program, limits=LIMITS)
    plain.says("a", b"\n")
    record = records.decode((plain.root / "a/launch.json").read_bytes())
    if not record["cgroup"]:
        pytest.skip("cannot here: no cgroup v2 in which this user may make another")
    plain.kill()
    group = Group(record["cgroup"])
    assert group.populated()
    return group


@contextlib.contextmanager
def elsewhere(place: Place) -> Iterator[None]:
    """This process, and what it starts, in groups below its own."""
    own = [each for each in (place.cgroup, *place.old_cgroups) if each is not None]
    for path in own:
        (path / "elsewhere").mkdir()
        (path / "elsewhere/cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        for path in own:
            (path / "cgroup.procs").write_text(str(os.getpid()))
            (path / "elsewhere").rmdir()


def test_the_next_keeper_leaves_nothing_in_any_hierarchy(plain: Keeper, left: Group) -> None:
    pids = left.processes()
    plain.start()
    assert not any(map(alive, pids))
    assert not any(Path(path).exists() for path in (left.path, *left.old.values()))


def test_nor_where_it_runs_in_other_groups_than_the_first(
    plain: Keeper, left: Group, place: Place
) -> None:
    pids = left.processes()
    with elsewhere(place):
        plain.start()
        assert not any(map(alive, pids))
        assert not any(Path(path).exists() for path in left.bases())
        plain.signal(signal.SIGTERM)
        plain.gone()
