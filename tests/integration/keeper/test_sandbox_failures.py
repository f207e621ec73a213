"""Where no sandbox can be had: it is told why, in words for a person, and nothing is left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import containment, entering, spawn
from runner.keeper.bubblewrap import PLACES, WORKSPACE, Bubblewrap, Mount, Unavailable, View
from runner.keeper.sandbox import Holder, HolderFailed
from tests.support.sandboxed import PATHS, ready, reason_against
from tests.support.users import TASK_UID

USER = (TASK_UID, TASK_UID) if os.geteuid() == 0 else None
GOOD = View(tuple(PATHS), "")


@pytest.fixture
def view(home: Path) -> Iterator[View]:
    """One that can be held, where any can."""
    reason = reason_against("root" if USER else "ordinary")
    if reason:
        pytest.skip(reason)
    yield GOOD._replace(disk=str(home / "disk"))
    shutil.rmtree(home / "disk", ignore_errors=True)


@pytest.fixture
def disk(view: View) -> View:
    """The same, with its directories."""
    for name in PLACES:
        path = Path(view.disk, name)
        path.mkdir(parents=True)
        if USER:
            os.chown(path, *USER)
    return view


def test_a_host_that_can_hold_a_sandbox_has_no_problem(view: View) -> None:
    assert containment.problem(Bubblewrap(), view, USER) == ""
    assert containment.problem(Bubblewrap(), view._replace(network=True), USER) == ""
    assert not Path(view.disk).exists()


def test_what_bubblewrap_says_is_in_the_reason(view: View) -> None:
    absent = view._replace(mounts=(Mount("/no/such/place", "/mnt/x", True),))
    reason = containment.problem(Bubblewrap(), absent, USER)
    assert reason.startswith("bubblewrap cannot make a sandbox here: ")
    assert "Can't find source path /no/such/place" in reason


def test_a_view_without_a_shell_is_told(view: View) -> None:
    reason = containment.problem(Bubblewrap(), view._replace(paths=("/etc/hosts",)), USER)
    assert "execvp /bin/sh: No such file or directory" in reason


def test_a_machine_without_a_table_of_calls_holds_no_sandbox(view: View) -> None:
    bubblewrap = Bubblewrap()
    bubblewrap.calls = b""
    assert "no table of system calls" in containment.problem(bubblewrap, view, USER)


def test_a_path_that_is_no_bubblewrap_is_told() -> None:
    for path in ("/usr/bin/false", "/etc/hosts"):
        with pytest.raises(Unavailable, match=r"cannot be run|is not used"):
            Bubblewrap(path)


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_a_bubblewrap_that_others_could_change_is_not_run_by_root(home: Path) -> None:
    place = home / "bin"
    place.mkdir(mode=0o755)
    shutil.copy("/usr/bin/env", place / "bwrap")
    os.chown(place, TASK_UID, TASK_UID)
    with pytest.raises(Unavailable, match="other than root may write"):
        Bubblewrap(str(place / "bwrap"))
    shutil.rmtree(place)


def test_a_holder_that_dies_before_it_is_ready_has_failed(disk: View, home: Path) -> None:
    never_ready = home / "bwrap"
    never_ready.write_text("#!/bin/sh\nexec sleep 60\n")
    never_ready.chmod(0o755)
    bubblewrap = Bubblewrap()
    bubblewrap.path = str(never_ready)
    held = Holder.start(bubblewrap, disk, USER, None)
    held.kill()
    os.waitpid(held.pid, 0)
    with pytest.raises(HolderFailed, match="said nothing"):
        ready(held)
    held.close()
    never_ready.unlink()


def test_a_bubblewrap_that_cannot_be_executed_is_told_with_its_errno(disk: View) -> None:
    bubblewrap = Bubblewrap()
    bubblewrap.path = "/no/such/bwrap"
    held = Holder.start(bubblewrap, disk, USER, None)
    with pytest.raises(HolderFailed) as failed:
        ready(held)
    assert (failed.value.stage, failed.value.number) == ("exec", 2)
    held.close()
    os.waitpid(held.pid, 0)


def test_a_sandbox_that_has_gone_cannot_be_entered(disk: View) -> None:
    held = ready(Holder.start(Bubblewrap(), disk, USER, None))
    held.kill()
    os.waitpid(held.pid, 0)
    null = os.open("/dev/null", os.O_RDWR)
    program = spawn.Program(["/bin/true"], {}, WORKSPACE, (null, null, null), USER)
    with pytest.raises(entering.EnteringFailed) as failed:
        entering.start(held, program, None)
    assert failed.value.stage == "sandbox"
    os.close(null)
    held.close()


def test_a_group_that_cannot_be_joined_stops_it_before_anything_else(disk: View) -> None:
    unwritable = os.open("/dev/null", os.O_RDONLY)
    held = Holder.start(Bubblewrap(), disk, USER, None, [unwritable])
    with pytest.raises(HolderFailed) as failed:
        ready(held)
    assert failed.value.stage == "cgroup"
    held.close()
    os.waitpid(held.pid, 0)
    os.close(unwritable)


def test_a_disk_that_is_not_there_is_told_in_bubblewraps_words(view: View) -> None:
    held = Holder.start(Bubblewrap(), view, USER, None)
    with pytest.raises(HolderFailed, match=r"Can't find source path .*/disk/workspace"):
        ready(held)
    held.close()
    os.waitpid(held.pid, 0)
