"""Tasks, plans, events and output as the protocol's messages. Pure, one way."""

from __future__ import annotations

from collections.abc import Callable

from runner.domain.exit import Exit
from runner.domain.failure import Failure
from runner.domain.limits import Limits
from runner.domain.plan import Artifact, Plan
from runner.domain.task import Attempt, Result, Task
from runner.edges.rpc.lately import Lately
from runner.edges.rpc.moments import duration, limit, timestamp
from runner.edges.rpc.names import EVENT_TYPE, FAULT, MODE, REASON, STATE, STREAM, TASK_CLASS
from runner.engine.api import Chunk, Passed
from runner.ports import Event
from supervisor.v1 import supervisor_pb2 as v1

_PLANS: Lately[Plan, v1.Plan] = Lately(64)  # of the tasks under way: each event has it
_TASKS: Lately[Task, v1.Task] = Lately(8)  # one event is told to all who watch

Link = Callable[[Task], str]
"""The address of a task's output over HTTP; empty where there is none."""


def no_link(_task: Task) -> str:
    """What a runner without HTTP has."""
    return ""


def to_task(task: Task, link: Link = no_link) -> v1.Task:
    """The task as a caller sees it. Not to be changed: others may be given the same message."""
    if task.result is not None:  # its link is made anew each time, and expires
        return _task(task, link)
    return _TASKS.of(task, lambda: _task(task, link))


def _task(task: Task, link: Link) -> v1.Task:
    return v1.Task(
        task_id=task.task_id,
        task_class=TASK_CLASS[task.task_class],
        state=STATE[task.state],
        tenant=task.tenant,
        workflow_id=task.workflow_id,
        labels=task.labels,
        plan=to_plan(task.plan),
        attempts=[_attempt(each) for each in task.attempts],
        progress=_progress(task),
        result=None if task.result is None else _result(task.result, link(task)),
        failure=None if task.failure is None else _failure(task.failure),
        accept_time=timestamp(task.accept_time),
        start_time=timestamp(task.start_time),
        end_time=timestamp(task.end_time),
        sequence=task.sequence,
        cancel_request_time=None if task.cancel is None else timestamp(task.cancel.time),
        acknowledged=task.acknowledged,
        trace_parent=task.trace_parent,
        warnings=task.warnings,
    )


def to_plan(plan: Plan) -> v1.Plan:
    """The plan; what only the runner needs of it (retry back-offs) is not told. Not to be
    changed: others may be given the same message."""
    return _PLANS.of(plan, lambda: _plan(plan))


def _plan(plan: Plan) -> v1.Plan:
    return v1.Plan(
        mode=MODE[plan.mode],
        executor=plan.executor,
        image=plan.image,
        argv=plan.argv,
        env=plan.env,
        working_dir=plan.working_dir,
        user=plan.user,
        limits=to_limits(plan.limits),
        mounts=[
            v1.Mount(source=each.source, target=each.target, read_only=each.read_only)
            for each in plan.mounts
        ],
        inputs=[_artifact(each) for each in plan.inputs],
        outputs=[_artifact(each) for each in plan.outputs],
        secrets=plan.secrets,
        network=plan.network,
        max_attempts=plan.retry.max_attempts,
        decisions=plan.decisions,
    )


def to_limits(limits: Limits) -> v1.Limits:
    """The limits; a time without a limit is left unset."""
    return v1.Limits(
        wall_time=limit(limits.wall_time),
        grace=duration(limits.grace),
        cpu_cores=limits.cpu_cores,
        memory_bytes=limits.memory_bytes,
        max_processes=limits.max_processes,
        disk_bytes=limits.disk_bytes,
        output_bytes=limits.output_bytes,
        gpus=limits.gpus,
        idle_time=limit(limits.idle_time),
    )


def to_event(event: Event | Passed, link: Link = no_link) -> v1.TaskEvent:
    """A stored event, or a position: that has nothing but a sequence."""
    if isinstance(event, Passed):
        return v1.TaskEvent(sequence=event.sequence)
    return v1.TaskEvent(
        sequence=event.sequence,
        time=timestamp(event.time),
        type=EVENT_TYPE[event.type],
        task=to_task(event.task, link),
    )


def to_chunk(chunk: Chunk) -> v1.OutputChunk:
    """A piece of output, a gap in it, or an attempt's end."""
    message = v1.OutputChunk(
        task_id=chunk.task_id,
        attempt=chunk.attempt,
        stream=STREAM[chunk.stream],
        offset=chunk.offset,
        data=chunk.data,
        time=timestamp(chunk.time),
        cursor=chunk.cursor,
    )
    if chunk.gap is not None:
        message.gap.bytes = chunk.gap.count
        message.gap.cause = chunk.gap.cause
        message.gap.SetInParent()
    if chunk.end is not None:
        message.end.CopyFrom(
            v1.OutputEnd(
                stdout_bytes=chunk.end.stdout_bytes,
                stderr_bytes=chunk.end.stderr_bytes,
                truncated=chunk.end.truncated,
                stdout_sha256=chunk.end.stdout_sha256,
                stderr_sha256=chunk.end.stderr_sha256,
            )
        )
    return message


def _attempt(attempt: Attempt) -> v1.Attempt:
    message = v1.Attempt(
        number=attempt.number,
        executor=attempt.executor,
        handle=attempt.handle.label if attempt.handle is not None else "",
        gpu_uuids=attempt.gpu_uuids,
        prepare_time=timestamp(attempt.prepare_time),
        environment_ready_time=timestamp(attempt.environment_ready_time),
        inputs_ready_time=timestamp(attempt.inputs_ready_time),
        start_time=timestamp(attempt.start_time),
        end_time=timestamp(attempt.end_time),
        failure=None if attempt.failure is None else _failure(attempt.failure),
        image_digest=attempt.image_digest,
    )
    if attempt.exit is not None:
        _exit(message, attempt.exit)
    return message


def _exit(message: v1.Attempt, exit_: Exit) -> None:
    """How it ended. Of an attempt whose end was not learned neither code nor signal is told."""
    exit_time = timestamp(exit_.exit_time)
    if exit_time is not None:
        message.exit_time.CopyFrom(exit_time)
    if exit_.code is not None:
        message.exit_code = exit_.code
    message.signal = exit_.signal or 0
    usage = exit_.usage
    message.usage.CopyFrom(
        v1.Usage(
            cpu_time=duration(usage.cpu_seconds),
            max_memory_bytes=usage.max_memory_bytes,
            stdout_bytes=usage.stdout_bytes,
            stderr_bytes=usage.stderr_bytes,
            oom_kills=usage.oom_kills,
        )
    )


def _failure(failure: Failure) -> v1.Failure:
    return v1.Failure(
        reason=REASON[failure.reason],
        message=failure.message,
        stderr_tail=failure.stderr_tail,
        retryable=failure.retryable,
        fault=FAULT[failure.fault],
    )


def _progress(task: Task) -> v1.Progress | None:
    if task.progress is None:
        return None
    return v1.Progress(
        fraction=task.progress.fraction,
        step=task.progress.step,
        message=task.progress.message,
        time=timestamp(task.progress.time),
    )


def _result(result: Result, logs_url: str) -> v1.Result:
    return v1.Result(
        latency=duration(result.latency),
        outputs=[_artifact(each) for each in result.outputs],
        metrics=result.metrics,
        value=result.value,
        logs_url=logs_url,
    )


def _artifact(artifact: Artifact) -> v1.Artifact:
    return v1.Artifact(
        path=artifact.path,
        uri=artifact.uri,
        sha256=artifact.sha256,
        size_bytes=artifact.size_bytes,
        type=artifact.type,
    )
