"""Translation between the domain and the protocol: nothing is lost, nothing is invented."""

from __future__ import annotations

import dataclasses

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.exit import Exit, Usage
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.plan import Artifact, Mount
from runner.domain.refusal import Refused
from runner.domain.task import Cancel, Progress, Result, State, TaskClass
from runner.edges.rpc.convert_request import (
    from_assign,
    from_list,
    from_output,
    from_watch,
    grace_of,
    trace_parent_of,
)
from runner.edges.rpc.convert_task import to_chunk, to_task
from runner.edges.rpc.moments import duration, seconds_of
from runner.engine.api import Chunk, OutputEnd, OutputGap
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.tasks import HANDLE, LIMITS, a_plan, a_task, an_attempt

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_every_field_of_a_task_is_told() -> None:
    failure = Failure(Reason.OUT_OF_MEMORY, "over its memory", Fault.TASK, stderr_tail="tail")
    plan = a_plan(
        image="i", env={"A": "b"}, working_dir="w", user="u", secrets=("s",), network="none",
        mounts=(Mount("/a", "/b"),), inputs=(Artifact("in", "s3://x", "ab", 7),),
        outputs=(Artifact("out", type="parquet"),), decisions=("because",),
        limits=dataclasses.replace(LIMITS, gpus=1),
    )  # fmt: skip
    attempt = an_attempt(
        handle=HANDLE, gpu_uuids=("GPU-1",), prepare_time=1, environment_ready_time=2,
        inputs_ready_time=3, start_time=4, end_time=6, image_digest="sha256:1", failure=failure,
        exit=Exit(4, 5, signal=9, usage=Usage(1.5, 1, 2, 3, 4)),
    )  # fmt: skip
    task = a_task(
        plan=plan, tenant="acme", workflow_id="wf", labels={"k": "v"}, trace_parent=TRACE,
        state=State.FAILED, attempts=(attempt,), progress=Progress(0.5, "step", "message", 9),
        result=Result(1.25, (Artifact("o"),), {"tokens": 512.0}, b"{}"), failure=failure,
        start_time=4, end_time=6, cancel=Cancel(5), acknowledged=True, sequence=12,
        warnings=("its result was not taken: it is empty",),
    )  # fmt: skip
    assert _unset(to_task(task)) == {
        "task.result.logs_url",  # set by the edge that serves them
        "task.attempts.exit_code",  # a signal ended it
        "task.attempts.failure.retryable",
        "task.failure.retryable",
        "task.plan.inputs.type",
        "task.plan.outputs.uri",
        "task.plan.outputs.sha256",
        "task.plan.outputs.size_bytes",
        "task.result.outputs.uri",
        "task.result.outputs.sha256",
        "task.result.outputs.size_bytes",
        "task.result.outputs.type",
    }


def _unset(message: object, path: str = "task") -> set[str]:
    """The fields that say nothing, by path; times are looked at as a whole."""
    told = {field.name: value for field, value in message.ListFields()}  # type: ignore[attr-defined]  # any message
    missing = set()
    for field in message.DESCRIPTOR.fields:  # type: ignore[attr-defined]  # likewise
        name = f"{path}.{field.name}"
        if field.name not in told:
            missing.add(name)
            continue
        value = told[field.name]
        entries = list(value) if field.is_repeated else [value]
        kind = field.message_type
        if kind is None or kind.GetOptions().map_entry or kind.file.package == "google.protobuf":
            continue
        for entry in entries:
            missing |= _unset(entry, name)
    return missing


def test_an_exit_code_of_0_is_told_and_one_that_was_not_learned_is_not() -> None:
    exited = to_task(a_task(attempts=(an_attempt(exit=Exit(1, 2, code=0)),))).attempts[0]
    lost = to_task(a_task(attempts=(an_attempt(exit=Exit(1, 2, lost="why")),))).attempts[0]
    assert (exited.HasField("exit_code"), exited.exit_code, exited.signal) == (True, 0, 0)
    assert (lost.HasField("exit_code"), lost.signal) == (False, 0)


def test_a_time_that_is_not_known_and_a_limit_that_is_none_are_left_unset() -> None:
    limits = dataclasses.replace(LIMITS, wall_time=None, idle_time=None)
    task = to_task(a_task(plan=a_plan(limits=limits)))
    assert not task.HasField("start_time")
    assert not task.HasField("cancel_request_time")
    assert not task.plan.limits.HasField("wall_time")
    assert not task.plan.limits.HasField("idle_time")


def test_gaps_and_ends_are_told_also_where_all_their_numbers_are_0() -> None:
    gap = to_chunk(Chunk("t", 1, 1, 0, b"", 1, "c", gap=OutputGap(0, "")))
    end = to_chunk(Chunk("t", 1, 0, 0, b"", 1, "c", end=OutputEnd(0, 0, truncated=False)))
    assert (gap.HasField("gap"), gap.HasField("end")) == (True, False)
    assert (end.HasField("gap"), end.HasField("end")) == (False, True)


@given(st.floats(0, 1e9))
def test_a_duration_comes_back_to_the_nanosecond(seconds: float) -> None:
    assert seconds_of("grace", duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("given_duration", "reason"),
    [
        (Duration(seconds=-1), "OUT_OF_RANGE"),
        (Duration(nanos=-1), "OUT_OF_RANGE"),
        (Duration(seconds=1, nanos=-1), "BAD_NUMBER"),
        (Duration(nanos=1_000_000_000), "BAD_NUMBER"),
        (Duration(seconds=1 << 60), "BAD_NUMBER"),
    ],
)
def test_a_grace_that_is_no_time_to_wait_is_refused(given_duration: Duration, reason: str) -> None:
    with pytest.raises(Refused) as caught:
        grace_of(v1.CancelTaskRequest(task_id="t", grace=given_duration))
    assert [(each.field, each.reason) for each in caught.value.violations] == [("grace", reason)]


def test_a_grace_of_0_is_not_the_same_as_none() -> None:
    assert grace_of(v1.CancelTaskRequest(task_id="t")) is None
    assert grace_of(v1.CancelTaskRequest(task_id="t", grace=Duration())) == 0


@pytest.mark.parametrize(
    ("number", "name"), [(0, ""), (1, "cpu_short"), (4, "gpu_slurm"), (5, "5"), (-3, "-3")]
)
def test_a_class_is_handed_on_by_name_and_an_unknown_one_as_its_number(
    number: int, name: str
) -> None:
    request = v1.AssignTaskRequest.FromString(
        v1.AssignTaskRequest(task_class=v1.TaskClass.ValueType(number)).SerializeToString()
        if number >= 0
        else b"\x10\xfd\xff\xff\xff\xff\xff\xff\xff\xff\x01"
    )
    assert from_assign(request, "").task_class == name


def test_what_a_list_asks_for_is_known_or_refused() -> None:
    request = v1.ListTasksRequest(
        states=[v1.TASK_STATE_RUNNING], classes=[v1.TASK_CLASS_GPU], page_size=5000
    )
    wanted = from_list(request)
    assert (wanted.states, wanted.classes) == ({State.RUNNING}, {TaskClass.GPU})
    assert wanted.page_size == 1000
    for bad in (b"\x08\x63", b"\x10\x00", b"\x30\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"):
        with pytest.raises(Refused):
            from_list(v1.ListTasksRequest.FromString(bad))


def test_where_a_stream_begins_is_said_once_and_0_is_the_oldest() -> None:
    assert from_watch(v1.WatchTasksRequest(after_sequence=7)).after == 7
    assert from_watch(v1.WatchTasksRequest(after_sequence=0)).after is None
    assert from_watch(v1.WatchTasksRequest(now=True)).now
    assert from_output(v1.StreamOutputRequest(tail_bytes=0)).tail_bytes == 0
    assert from_output(v1.StreamOutputRequest(cursor="c")).tail_bytes is None
    assert from_output(v1.StreamOutputRequest()).cursor is None


def test_streams_are_stdout_and_stderr_and_nothing_else() -> None:
    both = [v1.OUTPUT_STREAM_STDOUT, v1.OUTPUT_STREAM_STDERR]
    assert from_output(v1.StreamOutputRequest(streams=both)).streams == {1, 2}
    for bad in (b"\x18\x00", b"\x18\x03"):
        with pytest.raises(Refused):
            from_output(v1.StreamOutputRequest.FromString(bad))


def test_the_trace_context_of_a_call_is_taken_where_it_has_the_form_of_one() -> None:
    assert trace_parent_of((("x", "y"), ("traceparent", TRACE))) == TRACE
    assert trace_parent_of(None) == ""
    for bad in (
        TRACE.upper(), TRACE + "\n", TRACE + "-extra", "ff" + TRACE[2:], TRACE[:-1],
        f"00-{'0' * 32}-00f067aa0ba902b7-01", f"00-{'1' * 32}-{'0' * 16}-01", b"x",
    ):  # fmt: skip
        assert trace_parent_of((("traceparent", bad),)) == ""


@given(st.text(max_size=60))
def test_no_trace_context_makes_the_edge_stumble(text: str) -> None:
    assert trace_parent_of((("traceparent", text),)) in {"", text}
