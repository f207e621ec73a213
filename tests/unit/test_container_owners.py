"""Whether the process that a container goes with is gone: only what is certain counts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from runner.executors.container import owners

LOOKS = "from runner.executors.container import owners; print(owners.me())"


def test_a_process_that_runs_is_not_gone_and_one_that_has_ended_is() -> None:
    assert not owners.gone(owners.me())
    done = subprocess.run([sys.executable, "-c", LOOKS], check=True, capture_output=True, text=True)
    assert owners.gone(done.stdout.strip())


@pytest.mark.parametrize(
    ("part", "other", "expected"),
    [
        (0, "00000000-0000-0000-0000-000000000000", True),  # another boot
        (1, "1", False),  # a pid of elsewhere
        (3, "1", True),  # a later process has the pid
    ],
)
def test_a_pid_counts_for_its_boot_its_namespace_and_its_start(
    *, part: int, other: str, expected: bool
) -> None:
    words = owners.me().split(" ")
    words[part] = other
    assert owners.gone(" ".join(words)) is expected


@pytest.mark.parametrize("text", ["", "x", "1 2 3 4", "a" * 1000, "../../x 1 1 1"])
def test_what_names_no_process_is_not_said_to_be_gone(text: str) -> None:
    assert not owners.gone(text)
