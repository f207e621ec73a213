"""The keeper's copy from pipes to files: how much a pipe holds, and that nothing is lost by it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import output
from runner.keeper.output import PIPE_SIZE, Output
from runner.storage.index import RECORD


class Rig:
    """An output in a directory, with the task's ends of its pipes."""

    def __init__(self, directory: Path) -> None:
        pipes = [output.pipe(), output.pipe()]
        self.writing = [pipe[1] for pipe in pipes]
        file = os.open(directory, os.O_RDONLY)
        self.output = Output(file, (pipes[0][0], pipes[1][0]), 1 << 30)
        os.close(file)

    def holds(self, number: int) -> int:
        """Bytes that the pipe of a stream can hold."""
        return fcntl.fcntl(self.output.streams[number].pipe, fcntl.F_GETPIPE_SZ)

    def close(self) -> None:
        self.output.close()
        for writing in self.writing:
            os.close(writing)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_a_pipe_grows_for_who_writes_much_and_stays_small_for_others(rig: Rig) -> None:
    usual = rig.holds(1)
    os.write(rig.writing[0], b"a line\n")
    assert rig.output.pump(1, 0)
    assert rig.holds(1) == usual
    os.write(rig.writing[0], bytes(usual))
    assert rig.output.pump(1, 1)
    assert rig.holds(1) > usual or usual == PIPE_SIZE
    assert rig.holds(2) == usual


def test_what_is_read_at_once_is_kept_to_the_byte_and_one_record(rig: Rig, tmp_path: Path) -> None:
    data = os.urandom(rig.holds(1))
    os.write(rig.writing[0], data)
    rig.output.pump(1, 5)
    more = os.urandom(min(rig.holds(1), 250_000))
    os.write(rig.writing[0], more)
    rig.output.drain(20_000_000)
    assert (tmp_path / "stdout").read_bytes() == data + more
    records = list(RECORD.iter_unpack((tmp_path / "index").read_bytes()))
    assert records == [(5, 0, len(data), 1), (20_000_000, len(data), len(more), 1)]
