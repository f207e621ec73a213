"""What the daemon counts, by the names of docs/metrics.md, in a registry of its own.

An Observer counts tasks here; who serves the page sets the gauges first. No label holds a
value without a bound: classes, executors, outcomes, codes and reasons are closed lists.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from runner.domain.failure import Reason
from runner.domain.task import Attempt, EventType, Task, TaskClass
from runner.ports import Refusal

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CALL = (*_FAST, 30, 60, 300, 900, 3600)  # streams are calls too, and images are pulled
_TASK = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 6 * 3600, 86400)
_SECOND = 1e9  # nanoseconds
_STREAMS = ("stdout", "stderr")
_OUTCOMES = {
    EventType.COMPLETED: "completed",
    EventType.FAILED: "failed",
    EventType.CANCELLED: "cancelled",
}


class Metrics:
    """See `runner.ports.Observer` for `stored`, `refused` and `note`."""

    def __init__(self, version: str, executors: Iterable[str]) -> None:
        # Else each counter has a second series, with the time of its making.
        disable_created_metrics()  # type: ignore[no-untyped-call] # it has no annotations
        self.registry = CollectorRegistry(auto_describe=True)
        self._accepted = self._counter("tasks_accepted", "Tasks taken.", "task_class")
        self._refused = self._counter("tasks_refused", "Assignments refused.", "task_class", "code")
        self._finished = self._counter(
            "tasks_finished", "Tasks ended.", "task_class", "executor", "outcome", "reason"
        )
        self._retries = self._counter(
            "retries", "Attempts that failed and are tried again.", "task_class", "reason"
        )
        self._leftovers = self._counter(
            "leftover_processes", "Processes that a task left behind, and that were killed."
        )
        self._written = self._counter("output_bytes", "Bytes that tasks wrote.", "stream")
        self._dropped = self._counter(
            "output_dropped_bytes", "Bytes that tasks wrote and that were not kept.", "stream"
        )
        self._duration = self._histogram(
            "task_duration_seconds",
            "From a task's first start to its end.",
            _TASK,
            "task_class", "executor", "outcome",
        )  # fmt: skip
        self._queue = self._histogram(
            "task_queue_seconds", "From acceptance to the first attempt.", _TASK, "task_class"
        )
        self._prepare = self._histogram(
            "task_prepare_seconds",
            "From the decision to launch an attempt to its start.",
            _CALL,
            "task_class", "executor",
        )  # fmt: skip
        self._request = self._histogram(
            "executor_request_duration_seconds",
            "What an executor took to answer.",
            _FAST,
            "executor", "operation", "outcome",
        )  # fmt: skip
        self._commit = self._histogram(
            "journal_commit_seconds", "One transaction of the journal, until durable.", _FAST
        )
        self._lag = self._histogram(
            "event_loop_lag_seconds", "How late the event loop was, looked at each second.", _FAST
        )
        self._call = self._histogram(
            "rpc_duration_seconds", "Calls and streams, to their end.", _CALL, "method", "code"
        )
        self.queued = self._gauge("tasks_queued", "Tasks that wait.", "task_class")
        self.running = self._gauge("tasks_running", "Tasks that hold a slot.", "task_class")
        self.ready = self._gauge("executor_ready", "1 where tasks can be run.", "executor")
        self.containers = self._gauge("active_containers", "Containers that run.", "executor")
        self.followers = self._gauge("output_followers", "Readers of tasks' output now.")
        self.gpus = self._gauge("gpus", "GPUs that are known.")
        self.gpus_allocated = self._gauge("gpus_allocated", "GPUs that a task has.")
        self.gpus_unhealthy = self._gauge("gpus_unhealthy", "GPUs that cannot be used.")
        self.cpu_reserved = self._gauge("cpu_cores_reserved", "Cores reserved for tasks.")
        self.memory_reserved = self._gauge("memory_bytes_reserved", "Memory reserved for tasks.")
        self.state_bytes = self._gauge("state_bytes", "Disk that the state directory takes.")
        self.draining = self._gauge("draining", "1 while no new tasks are taken.")
        self.disk_free = self._gauge("disk_free_bytes", "Free where tasks' data go.", "disk")
        self.disk_full = self._gauge("disk_full", "1 while it keeps new tasks from being taken.")
        self._removed = self._counter("tasks_removed", "Tasks whose files were removed.", "cause")
        self._removed_bytes = self._counter("output_removed_bytes", "Kept output removed.")
        self._removed_before: dict[str, int] = {}
        self._reload_good = self._gauge(
            "config_reload_success", "1 where the configuration was last read without a fault."
        )
        self._reload_time = self._gauge(
            "config_reload_timestamp_seconds", "When it was last read without a fault."
        )
        build = self._gauge("build_info", "1, by what it runs.", "version", "python")
        build.labels(version, platform.python_version()).set(1)
        self._begin(tuple(executors))

    def _begin(self, executors: tuple[str, ...]) -> None:
        """Series are there, at 0, before anything happens: a rate needs a first value."""
        for task_class in TaskClass:
            self._accepted.labels(task_class.value)
            self._queue.labels(task_class.value)
            self.queued.labels(task_class.value)
            self.running.labels(task_class.value)
        for stream in _STREAMS:
            self._written.labels(stream)
            self._dropped.labels(stream)
        for executor in executors:
            self.ready.labels(executor)
        self.reloaded(good=True)

    # --- an Observer

    def stored(self, before: Task | None, after: Task, type_: EventType | None) -> None:
        """Count a step."""
        task_class = after.task_class.value
        if type_ is EventType.ACCEPTED:
            self._accepted.labels(task_class).inc()
        elif type_ is EventType.PREPARING and len(after.attempts) == 1:
            waited = after.attempt.prepare_time - after.accept_time
            self._queue.labels(task_class).observe(max(waited, 0) / _SECOND)
        elif type_ is EventType.STARTED:
            took = after.attempt.start_time - after.attempt.prepare_time
            prepare = self._prepare.labels(task_class, after.attempt.executor)
            prepare.observe(max(took, 0) / _SECOND)
        elif type_ is EventType.RETRYING:
            failure = after.attempt.failure
            reason = failure.reason if failure else None
            self._retries.labels(task_class, _word(reason)).inc()
        elif type_ in _OUTCOMES:
            self._ended(after, _OUTCOMES[type_])
        if after.attempts and after.attempt.exit is not None and not _had_exit(before, after):
            self._attempt_ended(after.attempt)

    def refused(self, refusal: Refusal) -> None:
        """Count a refusal; all but class and code is without a bound, as far as metrics go."""
        name = "unknown" if refusal.task_class is None else refusal.task_class.value
        self._refused.labels(name, str(refusal.code)).inc()

    def note(self, event: str, **fields: object) -> None:
        """Nothing: notes are for the log."""

    def _ended(self, task: Task, outcome: str) -> None:
        executor = task.attempt.executor if task.attempts else task.plan.executor
        task_class = task.task_class.value
        reason = _word(task.failure.reason if task.failure else None)
        self._finished.labels(task_class, executor, outcome, reason).inc()
        if task.start_time:
            took = max(task.end_time - task.start_time, 0) / _SECOND
            self._duration.labels(task_class, executor, outcome).observe(took)

    def _attempt_ended(self, attempt: Attempt) -> None:
        exit_ = attempt.exit
        if exit_ is None or exit_.lost:
            return
        self._leftovers.inc(exit_.leftovers)
        written = (exit_.usage.stdout_bytes, exit_.usage.stderr_bytes)
        kept = (exit_.kept.stdout_bytes, exit_.kept.stderr_bytes)
        for stream, wrote, holds in zip(_STREAMS, written, kept, strict=True):
            self._written.labels(stream).inc(wrote)
            self._dropped.labels(stream).inc(max(wrote - holds, 0))

    # --- what others measure; all of it in seconds, from any thread

    def call_ended(self, method: str, code: str, seconds: float) -> None:
        """A call of the protocol has ended; `method` is one that there is."""
        self._call.labels(method, code).observe(seconds)

    def asked(self, executor: str, operation: str, outcome: str, seconds: float) -> None:
        """An executor has answered."""
        self._request.labels(executor, operation, outcome).observe(seconds)

    def committed(self, seconds: float) -> None:
        """A transaction of the journal is durable."""
        self._commit.observe(seconds)

    def late(self, seconds: float) -> None:
        """The event loop came so much later than it was due."""
        self._lag.observe(seconds)

    def removed(self, tasks: Mapping[str, int], size: int) -> None:
        """So many tasks' files were removed so far, by cause, with so many bytes of output."""
        for cause, count in tasks.items():
            self._removed.labels(cause).inc(count - self._removed_before.get(cause, 0))
        self._removed_bytes.inc(size - self._removed_before.get("", 0))
        self._removed_before = {**tasks, "": size}

    def reloaded(self, *, good: bool) -> None:
        """The configuration was read, or could not be."""
        self._reload_good.set(1 if good else 0)
        if good:
            self._reload_time.set(time.time())

    # --- how they are made

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"env_runner_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"env_runner_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            f"env_runner_{name}", text, labels, registry=self.registry, buckets=buckets
        )


def _word(reason: Reason | None) -> str:
    return reason.value if reason else ""


def _had_exit(before: Task | None, after: Task) -> bool:
    """Whether the latest attempt had ended before this step."""
    if before is None or len(before.attempts) != len(after.attempts):
        return False
    return before.attempt.exit is not None
