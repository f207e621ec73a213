"""What groups are made, for whom, and what is left of them; with no limit being tried."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import cgroups_tree as tree
from runner.keeper.cgroups import Cgroups
from runner.keeper.cgroups_group import Group
from tests.support.grouped import MIB, Grouped, grouped, python
from tests.support.keeper_client import eventually
from tests.support.users import TASK_UID, environment_for_others, python_for_others

LIMITS = {"memory": 64 * MIB, "cpu": 1.0, "processes": 8}


@pytest.fixture
def groups(home: Path) -> Iterator[Grouped]:
    with grouped(home) as found:
        yield found


def places(group: Group) -> set[str]:
    return {group.path, *group.old.values()}


def test_a_process_is_in_each_of_its_groups_before_its_first_instruction(groups: Grouped) -> None:
    files = [f"{path}/cgroup.procs" for path in places(groups.groups.group("a"))]
    program = f"import os\nfor f in {files!r}: assert open(f).read() == f'{{os.getpid()}}\\n'"
    assert groups.run("a", python(program), LIMITS)[0] == 0


def test_an_empty_group_of_an_earlier_try_is_made_anew_and_a_full_one_is_not(
    groups: Grouped,
) -> None:
    groups.groups.create("a", LIMITS).close()
    groups.groups.create("a", {**LIMITS, "memory": 128 * MIB}).close()  # and may have more
    groups.start("a", ["sleep", "60"], LIMITS)
    with pytest.raises(FileExistsError):
        groups.groups.create("a", LIMITS)


@pytest.mark.parametrize("kind", ["memory", "processes"])  # the first and the last to be set
def test_where_one_limit_cannot_be_set_nothing_is_left(groups: Grouped, kind: str) -> None:
    if groups.groups.held[kind]:
        pytest.skip(f"cannot here: {groups.groups.held[kind]}")
    with pytest.raises(OSError):  # noqa: PT011 - which one is the kernel's to say
        groups.groups.create("a", {**LIMITS, kind: -(2.0**70)})
    assert groups.groups.names() == []


def test_two_keepers_never_meet(groups: Grouped, home: Path) -> None:
    other = Cgroups(str(home / "other"))
    groups.start("a", ["sleep", "60"], LIMITS)
    assert other.names() == []
    assert not other.group("a").populated()
    other.close()


def test_the_next_keeper_finds_in_every_hierarchy_what_was_left(
    groups: Grouped, home: Path
) -> None:
    groups.start("a", ["sleep", "60"], LIMITS)
    for path in groups.groups.bases:
        Path(path, "b").mkdir()
    following = Cgroups(str(home))
    assert following.record("a") == groups.groups.record("a")
    assert following.names() == ["a", "b"]
    group = Group(following.record("a"))
    group.kill()
    eventually(lambda: not group.populated(), "it is empty")
    for name in ("a", "b"):
        following.remove(name)
    assert following.names() == []


def test_a_record_of_before_there_were_limits_still_names_its_group(groups: Grouped) -> None:
    pid = groups.start("a", ["sleep", "60"], LIMITS)
    assert Group(f"{groups.groups.path}/a").processes() == [pid]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_the_tasks_user_cannot_leave_its_groups_nor_change_them(groups: Grouped) -> None:
    """The same is tried as root, who can."""
    own = groups.groups.group("a")
    others = groups.groups.group("b")
    groups.start("b", ["sleep", "60"], LIMITS)
    program = f"""
import os, sys
refused = done = 0
for path in {sorted(places(own) | places(others) | groups.groups.bases)!r}:
    for name in sorted(os.listdir(path)):
        if name in ("cgroup.procs", "tasks", "cgroup.threads", "cgroup.subtree_control",
                    "cgroup.kill", "cgroup.freeze") or name.endswith(("max", "_bytes", "_us")):
            try:
                os.close(os.open(path + "/" + name, os.O_WRONLY))
                done += 1
            except PermissionError:
                refused += 1
    try:
        os.mkdir(path + "/below")
        os.rmdir(path + "/below")
        done += 1
    except PermissionError:
        refused += 1
sys.exit(10 * (done > 0) + (refused > 0))
"""
    interpreter = python_for_others() or "/usr/bin/python3"
    command = [interpreter, *python(program)[1:]]
    assert groups.run("a", command, LIMITS, user=TASK_UID)[0] == 1
    assert groups.run("a", command, LIMITS)[0] in (10, 11)  # some are read-only for everybody


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_what_is_mounted_read_only_is_not_held_and_told_why(home: Path) -> None:
    own = tree.own_directories()
    if "memory" not in own:
        pytest.skip("cannot here: needs an old hierarchy for memory")
    program = f"from runner.keeper.cgroups import *; g = Cgroups({str(home)!r}); g.close(); "
    program += "print(g.held)"
    mount = next(
        line.split()[4]
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
        if own["memory"].startswith(line.split()[4]) and " - cgroup " in line
    )
    script = f'mount -o remount,bind,ro {mount} && exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable, program],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    held = eval(done.stdout)  # noqa: S307 - it is what the lines above print
    assert "Read-only file system" in held["memory"]
    assert held["processes"] == ""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_an_ordinary_user_has_no_cgroups_and_is_told_why(home: Path) -> None:
    interpreter = python_for_others()
    if interpreter is None:
        pytest.skip("cannot here: no Python that another user could run")
    done = subprocess.run(
        [interpreter, "-c", f"from runner.keeper.cgroups import *; Cgroups({str(home)!r})"],
        user=TASK_UID, group=TASK_UID, extra_groups=[], env=environment_for_others(), cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Unavailable" in done.stderr
    assert "Permission denied, and the keeper is not root" in done.stderr
