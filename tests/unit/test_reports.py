"""What a task reports, from bytes to values: what is taken is exact, and nothing else is taken."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain import calls, reports
from runner.domain.document import MAX_BYTES
from runner.domain.plan import Artifact
from runner.domain.reports import Unfit
from runner.domain.task import Progress
from runner.keeper import keeping, messages

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(
    st.characters(min_codepoint=32, exclude_categories=("Cs",), exclude_characters="\x7f"),
    min_size=1,
    max_size=40,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
LINE = 1024


def spelled(value: Any) -> bytes:
    return json.dumps(value).encode()


def why(data: bytes) -> str:
    with pytest.raises(Unfit) as unfit:
        reports.result(data)
    return str(unfit.value)


def test_the_files_are_those_that_a_keeper_keeps() -> None:
    assert keeping.TOLD == (reports.RESULT_FILE, reports.PROGRESS_FILE, calls.EXCEPTION)
    assert messages.FILES == calls.FILES
    assert keeping.PROGRESS == reports.PROGRESS_FILE


@given(value=JSON, before=st.sampled_from(["", " ", "\n\t"]), metric=FLOATS)
def test_a_value_is_the_text_that_the_task_wrote(value: Any, before: str, metric: float) -> None:
    text = json.dumps(value, ensure_ascii=False)
    if "\\u" in text or any("\ud800" <= char <= "\udfff" for char in text):
        text = json.dumps(None)
    data = f'{{"metrics": {{"m": {metric!r}}}, "value":{before}{text}{before}, "outputs": []}}'
    found = reports.result(data.encode())
    assert found.value == text.encode()
    assert found.metrics == {"m": metric}


def test_a_value_keeps_what_a_float_would_lose() -> None:
    text = b"[0.1000000000000000055511151231257827, 1.0, 1e2, 12345678901234567890123]"
    assert reports.result(b'{"value": ' + text + b"}").value == text


def test_where_there_is_no_value_there_is_none_and_null_is_one() -> None:
    assert reports.result(b"{}").value == b""
    assert reports.result(b'{"value": null}').value == b"null"
    assert reports.result(b'{"metrics": {"value": 1}}').value == b""


def test_outputs_are_places_of_the_task_or_elsewhere() -> None:
    told = {"outputs": [{"path": "out/a", "type": "text"}, {"path": "s3://bucket/b"}]}
    assert reports.result(spelled(told)).outputs == (
        Artifact("out/a", type="text"),
        Artifact("", uri="s3://bucket/b"),
    )


@given(st.dictionaries(NAMES, st.integers(-(10**300), 10**300) | FLOATS, max_size=8))
def test_metrics_are_floats_by_their_names(metrics: dict[str, float]) -> None:
    found = reports.result(spelled({"metrics": metrics})).metrics
    assert found == {name: float(amount) for name, amount in metrics.items()}
    assert all(type(amount) is float and math.isfinite(amount) for amount in found.values())


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (b"\xff", "it byte 0 is not UTF-8"),
        (b"[1]", "it must be a JSON object, not a list"),
        (b'{"value": 1', "it is not JSON"),
        (b"[" * 100_000, "nested more than 32"),
        (b'{"value": ' + b"[" * 40 + b"]" * 40 + b"}", "nested more than 32"),
        (b'{"value": "' + b"x" * MAX_BYTES + b'"}', "bytes long"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(11_000)) + b"}", "11000 keys"),
        (b'{"value": NaN}', "/value: NaN is no JSON number"),
        (b'{"value": [1e999]}', "/value/0: '1e999' is beyond what a number can hold"),
        (b'{"value": ' + b"9" * 5000 + b"}", "/value: a number of 5000 characters"),
        (b'{"value": 1, "value": 2}', "/value: the key stands there more than once"),
        (b'{"value": "\\ud800"}', "/value: "),
        (b'{"vlaue": 1}', "/vlaue: 'vlaue' is not known here"),
        (b'{"metrics": {"a": "7"}}', "/metrics/a: must be a number, not a text"),
        (b'{"metrics": {"a": true}}', "/metrics/a: must be a number"),
        (b'{"metrics": {"a": null}}', "/metrics/a: must be a number"),
        (b'{"metrics": {"a": ' + b"9" * 400 + b"}}", "/metrics/a: is beyond"),
        (b'{"metrics": {"a\\n": 1}}', "/metrics/a\\n: "),
        (b'{"metrics": [1]}', "/metrics: must be an object, not a list"),
        (b'{"outputs": [{"path": "../x"}]}', "/outputs/0/path: "),
        (b'{"outputs": [{"path": "/etc/passwd"}]}', "/outputs/0/path: "),
        (b'{"outputs": [{"path": "gopher://x/y"}]}', "/outputs/0/path: "),
        (b'{"outputs": [{"type": "text"}]}', "/outputs/0/path: 'path' is needed here"),
        (b'{"outputs": [' + b"{}," * 1000 + b"{}]}", "/outputs: has 1001 items; 1000 at most"),
        (b'{"a": 1, "b": 2}', "(and 1 more)"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_what_is_no_result_is_not_taken_and_why_is_said(data: bytes, what: str) -> None:
    assert what in why(data)


@given(st.binary(max_size=300))
def test_no_bytes_do_harm(data: bytes) -> None:
    for read in (reports.result, lambda some: reports.latest(some, LINE, over=True)):
        with contextlib.suppress(Unfit):
            read(data)


@given(
    progress=st.builds(
        Progress,
        st.floats(0, 1),
        st.text(st.characters(categories=("L",)), max_size=20),
        st.text(st.characters(categories=("L", "N")), max_size=40),
    )
)
def test_a_line_of_progress_is_read_back(progress: Progress) -> None:
    told = {"fraction": progress.fraction, "step": progress.step, "message": progress.message}
    assert reports.latest(spelled(told) + b"\n", LINE).progress == progress


BAD = [b"no JSON", b'{"fraction": 1.5}', b'{"fraction": -0.1}', b'{"fraction": "1"}', b"[]",
       b'{"fracton": 1}', b'{"fraction": NaN}', b'{"fraction": 1e999}', b'{"step": 3}',
       b'{"fraction": 0.1, "fraction": 0.2}', b"\xff\xfe", b"\0\0\0", b"[" * 200,
       b'{"step": "' + b"x" * 300 + b'"}', b'{"message": "' + b"x" * LINE + b'"}']  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_line_is_skipped_and_told(bad: bytes) -> None:
    good = b'{"fraction": 0.25}\n'
    heard = reports.latest(good + bad + b"\n", LINE)
    assert heard.progress == Progress(0.25)
    assert heard.problem
    assert not reports.latest(good + bad + b"\n" + good, LINE).problem  # while more may come
    assert reports.latest(good + bad + b"\n" + good, LINE, over=True).problem


def test_a_line_without_its_end_is_waited_for() -> None:
    first, second = b'{"fraction": 0.25}\n', b'{"fraction": 0.5}'
    assert reports.latest(first + second, LINE).progress == Progress(0.25)
    assert reports.latest(first + second + b"\n", LINE).progress == Progress(0.5)


def test_at_the_end_a_last_line_counts_where_it_is_whole_and_is_no_fault_else() -> None:
    first, second = b'{"fraction": 0.25}\n', b'{"fraction": 0.5}'
    assert reports.latest(first + second, LINE, over=True).progress == Progress(0.5)
    heard = reports.latest(first + second[:-3], LINE, over=True)
    assert heard == reports.Heard(Progress(0.25))


def test_a_line_that_names_no_fraction_means_the_one_before() -> None:
    lines = b'{"fraction": 0.5}\n{"step": "a"}\n\n{"message": "b"}\n'
    assert reports.latest(lines, LINE, before=0.1).progress == Progress(0.5, "", "b")
    assert reports.latest(b'{"step": "a"}\n', LINE, before=0.1).progress == Progress(0.1, "a")


def test_what_begins_in_the_middle_of_a_line_is_no_line() -> None:
    assert reports.latest(b'ion": 0.25}\n', LINE, cut=True) == reports.Heard()
    data = b'ion": 0.25}\n{"fraction": 0.5}\n'
    assert reports.latest(data, LINE, cut=True, over=True) == reports.Heard(Progress(0.5))


@pytest.mark.parametrize("over", [False, True])
def test_a_line_that_is_too_long_is_told_before_it_ends(over: bool) -> None:  # noqa: FBT001
    heard = reports.latest(b"x" * (LINE + 1), LINE, cut=True, over=over)
    assert heard.progress is None
    assert reports.latest(b"x" * (LINE + 1) + b"\n", LINE, cut=True, over=over) == heard
    assert "longer than 1 KiB (results.progress_line)" in heard.problem


@given(st.lists(st.sampled_from([b'{"fraction": 0.5}', b"bad", b"", b'{"step": "s"}'])))
def test_the_latest_good_line_is_found_however_many_bad_ones_follow(lines: list[bytes]) -> None:
    heard = reports.latest(b"".join(line + b"\n" for line in lines), LINE, over=True)
    good = [line for line in lines if line.startswith(b"{")]
    assert (heard.progress is not None) == bool(good)
    assert bool(heard.problem) == (b"bad" in lines)
    if good:
        assert heard.progress is not None
        assert heard.progress.step == ("s" if b"step" in good[-1] else "")
        assert heard.progress.fraction == (0.5 if b'{"fraction": 0.5}' in good else 0.0)


def test_what_else_a_line_of_progress_says_is_left_out() -> None:
    heard = reports.latest(b'{"fraction": 0.5, "step": "embed", "batch": {"of": 10}}\n', 1024)
    assert heard.progress is not None
    assert (heard.progress.fraction, heard.progress.step, heard.problem) == (0.5, "embed", "")


def test_a_result_with_a_key_that_is_not_known_is_not_taken() -> None:
    """It may be a slip of the pen, and what it names would be lost without a word."""
    with pytest.raises(Unfit, match="metricz"):
        reports.result(b'{"metricz": {"tokens": 512}}')
