"""What the runner is, as the protocol's message. Pure, one way."""

from __future__ import annotations

from runner.domain.gpu import UNCOUNTED
from runner.edges.rpc.convert_task import to_limits
from runner.edges.rpc.moments import timestamp
from runner.edges.rpc.names import MODE, TASK_CLASS
from runner.engine.api import ClassState, ExecutorStatus, GpuState, Status
from supervisor.v1 import supervisor_pb2 as v1


def to_runner(status: Status) -> v1.Runner:
    """The runner as it stands."""
    return v1.Runner(
        runner_id=status.runner_id,
        version=status.version,
        draining=status.draining,
        executors=[_executor(each) for each in status.executors],
        classes=[_class(each) for each in status.classes],
        gpus=[_gpu(each) for each in status.gpus],
        cpu_cores=status.cpu_cores,
        cpu_cores_free=status.cpu_cores_free,
        memory_bytes=status.memory_bytes,
        memory_bytes_free=status.memory_bytes_free,
        start_time=timestamp(status.start_time),
        last_sequence=status.last_sequence,
        journal_id=status.journal_id,
        first_sequence=status.first_sequence,
    )


def _executor(executor: ExecutorStatus) -> v1.Executor:
    return v1.Executor(
        name=executor.name,
        ready=executor.ready,
        version=executor.version,
        problem=executor.problem,
        modes=[MODE[mode] for mode in executor.modes],
    )


def _class(state: ClassState) -> v1.ClassStatus:
    return v1.ClassStatus(
        task_class=TASK_CLASS[state.task_class],
        limits=to_limits(state.limits),
        running=state.running,
        max_running=state.max_running,
        queued=state.queued,
        max_queued=state.max_queued,
        default_executor=state.default_executor,
    )


def _gpu(state: GpuState) -> v1.Gpu:
    return v1.Gpu(
        uuid=state.gpu.uuid,
        index=state.gpu.index if state.gpu.index >= 0 else UNCOUNTED,
        name=state.gpu.name,
        memory_bytes=state.gpu.memory_total,
        healthy=state.healthy,
        task_id=state.task_id,
        problem=state.problem,
    )
