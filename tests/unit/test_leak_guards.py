"""The guards themselves: what they find, and what they leave alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import leaks
from tests.support.leaks import Census, Place


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.0)


def test_a_quiet_moment_leaves_nothing(place: Place) -> None:
    assert Census.take(place).leaks() == []


@pytest.mark.usefixtures("impatient")
def test_a_child_that_goes_on_is_found(place: Place) -> None:
    before = Census.take(place)
    with subprocess.Popen(["sleep", "60"]) as child:
        assert any("sleep 60" in line for line in before.leaks())
        child.kill()


@pytest.mark.usefixtures("impatient")
def test_a_process_with_another_parent_and_session_is_found_and_ended(place: Place) -> None:
    before = Census.take(place)
    subprocess.run(["sh", "-c", "setsid sleep 61 >/dev/null 2>&1 &"], check=True)
    assert any("sleep 61" in line for line in before.leaks())
    before.end_leaked()
    leaks.PATIENCE = 5.0  # given back by the fixture
    assert before.leaks() == []


@pytest.mark.usefixtures("impatient")
def test_an_open_descriptor_is_found(place: Place) -> None:
    before = Census.take(place)
    end, other = os.pipe()
    found = before.leaks()
    os.close(end)
    os.close(other)
    assert sum(line.startswith("descriptor") for line in found) == 2


@pytest.mark.usefixtures("impatient")
def test_a_cgroup_is_found_and_removed(place: Place) -> None:
    if place.cgroup is None:
        pytest.skip("cannot here: no cgroup v2 in which this user may make another")
    before = Census.take(place)
    (place.cgroup / "er-left").mkdir()
    assert before.leaks() == [f"cgroup {place.cgroup}/er-left"]
    leaks.PATIENCE = 5.0  # given back by the fixture
    before.end_leaked()
    assert before.leaks() == []


@pytest.mark.usefixtures("impatient")
def test_a_cgroup_of_an_old_hierarchy_is_found_and_removed(place: Place) -> None:
    if not place.old_cgroups:
        pytest.skip("cannot here: no cgroup v1 in which this user may make another")
    before = Census.take(place)
    (place.old_cgroups[0] / "er-left").mkdir()
    assert before.leaks() == [f"cgroup {place.old_cgroups[0]}/er-left"]
    leaks.PATIENCE = 5.0  # given back by the fixture
    before.end_leaked()
    assert before.leaks() == []


def test_each_test_has_a_temporary_directory_of_its_own(nothing_is_left: Path) -> None:
    code = "import tempfile; print(tempfile.gettempdir())"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == str(nothing_is_left)


@pytest.mark.parametrize(
    ("ci", "reason", "outcome"),
    [
        ("true", "strace is not installed", "failed"),
        ("true", "cannot here: needs a kernel with cgroup v2", "skipped"),
        ("", "strace is not installed", "skipped"),
    ],
)
def test_in_ci_only_what_no_installation_cures_may_be_skipped(
    ci: str, reason: str, outcome: str, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text(
        f"import pytest\n\n\ndef test_it():\n    pytest.skip({reason!r})\n"
    )
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, "--basetemp", tmp_path / "t"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, tmp_path / "test_it.py"],
        env=os.environ | {"CI": ci, "PYTHONPATH": str(Path.cwd())},
        check=False,
        capture_output=True,
        text=True,
    )
    assert f"1 {outcome}" in done.stdout, done.stdout + done.stderr
