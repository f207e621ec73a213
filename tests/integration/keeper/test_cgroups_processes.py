"""A limit of processes holds against a fork bomb, and killing a group gets all of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import cgroups_tree as tree
from tests.support.grouped import Grouped, grouped, python
from tests.support.keeper_client import alive, eventually

LIMIT = 24
BOMB = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
ESCAPEES = """
import os, sys, time
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
        time.sleep(600)
"""


@pytest.fixture
def groups(home: Path) -> Iterator[Grouped]:
    with grouped(home, "processes") as found:
        yield found


def test_a_fork_bomb_is_bounded_counted_and_gone_once_killed(groups: Grouped) -> None:
    pid = groups.start("a", python(BOMB), {"processes": LIMIT, "cpu": 0.5})
    group = groups.groups.group("a")
    path = group.old.get("processes", group.path)
    eventually(lambda: tree.pids_refused(path) > 100, "it is refused")
    bombs = group.processes()
    assert 2 <= len(bombs) <= LIMIT
    assert groups.run("b", ["true"], {"processes": LIMIT})[0] == 0  # others can fork
    facts = groups.end("a")
    assert facts["pids_refused"] > 100
    assert groups.wait(pid) == -signal.SIGKILL
    eventually(lambda: not any(map(alive, bombs)), "all of it is dead")


def test_the_same_number_of_processes_within_the_limit_is_no_matter(groups: Grouped) -> None:
    program = f"import os, signal\nfor _ in range({LIMIT - 1}):\n  if not os.fork(): signal.pause()"
    code, facts = groups.run("a", python(program), {"processes": LIMIT})
    assert (code, facts["pids_refused"]) == (0, 0)


def test_a_refused_fork_of_a_program_that_goes_on_is_counted(groups: Grouped) -> None:
    program = "import os\ntry:\n  os.fork()\nexcept OSError: pass"
    code, facts = groups.run("a", python(program), {"processes": 1})
    assert (code, facts["pids_refused"]) == (0, 1)


def test_killing_gets_those_that_made_sessions_of_their_own(groups: Grouped) -> None:
    pid = groups.start("a", python(ESCAPEES), {})
    group = groups.groups.group("a")
    eventually(lambda: len(group.processes()) >= 6, "all have been forked")
    assert groups.wait(pid) == 0
    assert group.populated()
    left = group.processes()
    groups.end("a")
    eventually(lambda: not any(map(alive, left)), "all are dead")
    assert not Path(group.path).exists()


def test_killing_one_by_one_as_older_kernels_need_it_ends_a_fork_bomb_too(groups: Grouped) -> None:
    pid = groups.start("a", python(BOMB), {"processes": LIMIT, "cpu": 0.5})
    group = groups.groups.group("a")
    eventually(lambda: len(group.processes()) > 1, "it forks")

    def gone() -> bool:
        group.kill_each()
        return not group.populated()

    eventually(gone, "it is empty")
    assert groups.wait(pid) == -signal.SIGKILL


def test_zombies_do_not_make_a_group_populated(groups: Grouped) -> None:
    pid = groups.start("a", ["true"], {})
    group = groups.groups.group("a")
    eventually(lambda: not group.populated(), "the group is empty")
    assert groups.wait(pid) == 0  # it had not been waited for
