"""Output as it is printed: exact bytes, stamps at line starts, digests compared."""

from __future__ import annotations

import hashlib

import pytest

from runner.cli.exits import Failed
from runner.cli.follow import Printer
from supervisor.v1 import supervisor_pb2 as v1

OUT, ERR = v1.OUTPUT_STREAM_STDOUT, v1.OUTPUT_STREAM_STDERR


def chunk(data: bytes, stream: v1.OutputStream.ValueType = OUT, second: int = 0) -> v1.OutputChunk:
    made = v1.OutputChunk(task_id="t", attempt=1, stream=stream, data=data)
    made.time.FromSeconds(1_700_000_000 + second)
    return made


def end(stdout: bytes, stderr: bytes = b"") -> v1.OutputChunk:
    made = v1.OutputChunk(task_id="t", attempt=1)
    made.end.stdout_sha256 = hashlib.sha256(stdout).hexdigest()
    made.end.stderr_sha256 = hashlib.sha256(stderr).hexdigest()
    return made


def test_bytes_go_as_they_are_to_the_stream_that_they_are_of(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    printer = Printer()
    printer.take(chunk(b"\x00\xff half a char \xc3"))
    printer.take(chunk(b"oops\n", ERR))
    printer.take(chunk(b"\xa9\r\n"))
    printer.take(end(b"\x00\xff half a char \xc3\xa9\r\n", b"oops\n"))
    assert capfdbinary.readouterr() == (b"\x00\xff half a char \xc3\xa9\r\n", b"oops\n")


def test_output_that_did_not_arrive_whole_is_told() -> None:
    printer = Printer()
    printer.take(chunk(b"one\n"))
    with pytest.raises(Failed, match="did not arrive whole"):
        printer.take(end(b"one\ntwo\n"))


def test_digests_begin_anew_with_each_attempt() -> None:
    printer = Printer()
    for text in (b"first\n", b"second\n"):
        printer.take(chunk(text))
        printer.take(end(text))


def test_a_tail_or_an_attempt_that_goes_on_has_nothing_to_compare() -> None:
    tail = Printer(whole=False)
    tail.take(chunk(b"the end\n"))
    tail.take(end(b"all of it, the end\n"))
    going_on = Printer()
    going_on.take(chunk(b"so far"))
    going_on.take(v1.OutputChunk(task_id="t", attempt=1, end=v1.OutputEnd()))


def test_a_stream_that_was_not_asked_for_is_not_compared() -> None:
    printer = Printer((OUT,))
    printer.take(chunk(b"out\n"))
    printer.take(end(b"out\n", b"err\n"))


def test_a_gap_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    gap = v1.OutputChunk(task_id="t", attempt=1, stream=OUT)
    gap.gap.bytes, gap.gap.cause = 42, "output limit"
    Printer().take(gap)
    assert capsys.readouterr().err == (
        "env-runner: 42 bytes of stdout were not kept: output limit\n"
    )


def test_each_line_is_stamped_once_with_the_time_at_which_it_began(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    printer = Printer(stamps=True)
    printer.take(chunk(b"a\nb", second=0))
    printer.take(chunk(b"b\rbb\n\nc", second=1))
    printer.take(chunk(b"error\n", ERR, second=2))
    printer.take(chunk(b"c\n", second=3))
    at = b"2023-11-14T22:13:%d.000Z "
    out, err = capfdbinary.readouterr()
    assert out == at % 20 + b"a\n" + at % 20 + b"bb\rbb\n" + at % 21 + b"\n" + at % 21 + b"cc\n"
    assert err == at % 22 + b"error\n"
