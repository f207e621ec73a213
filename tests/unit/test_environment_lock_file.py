"""What is taken as a lock that a build wrote, and what is refused as the task's fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.domain.failure import Fault, Reason
from runner.environments.failures import BuildFailed
from runner.environments.lock_file import MOST, read_lock

LOCK = """\
alpha==1.0 \\
    --hash=sha256:0123 \\
    --hash=sha256:4567
beta==2 ; python_version > '3'
"""


def test_names_versions_and_hashes_are_taken_as_they_are(tmp_path: Path) -> None:
    for text in ("", LOCK):
        (tmp_path / "lock").write_text(text)
        assert read_lock(tmp_path / "lock") == text


@pytest.mark.parametrize(
    "data",
    [b"\xff\xfe", b"--index-url http://evil/\n", LOCK.encode() + b" -r /etc/passwd\n", b"a\0b"],
)
def test_what_is_none_is_the_tasks_fault(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "lock").write_bytes(data)
    with pytest.raises(BuildFailed) as failed:
        read_lock(tmp_path / "lock")
    assert failed.value.failure.reason is Reason.ENVIRONMENT
    assert failed.value.failure.fault is Fault.TASK


def test_no_more_is_read_than_a_lock_can_have(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("wb") as file:
        file.truncate(MOST * 1000)  # reading all of it would take 4 GB
    with pytest.raises(BuildFailed, match=str(MOST)):
        read_lock(tmp_path / "lock")
