"""What any journal holds to, whatever it is kept in: pure rules over records and tasks."""

from __future__ import annotations

from dataclasses import replace

from runner.domain.plan import Plan
from runner.domain.task import Task
from runner.ports import Query, Record, TaskKnown

NOT_HELD = "is not held by this journal"


def check(stored: Task | None, record: Record) -> None:
    """Whether `record` may follow on `stored` (None: no task of that id was ever here).

    Raises ValueError (TaskKnown for a new task) where not: the caller is at fault, and the
    task stays as it is.
    """
    task = record.after
    if record.before is None:
        if stored is not None:
            raise TaskKnown(f"task {task.task_id} is there already")
        if record.type is None:
            raise ValueError(f"task {task.task_id}: a new task is always an event")
    elif stored is None:
        raise ValueError(f"task {task.task_id} {NOT_HELD}")
    elif stored.state.terminal and (record.type is not None or task.state is not stored.state):
        raise ValueError(f"task {task.task_id} has ended as {stored.state}; nothing follows that")


def remains(task: Task) -> Task:
    """What a tombstone remembers: who asked for what, and how it ended; no details."""
    plan = Plan(task.plan.mode, task.plan.executor, (), task.plan.limits, task.plan.retry)
    return replace(
        task, plan=plan, attempts=(), progress=None, result=None, warnings=(), retry_time=0
    )


def matches(query: Query, task: Task) -> bool:
    """Whether `query` asks for `task`, its position apart."""
    return (
        (not query.states or task.state in query.states)
        and (not query.classes or task.task_class in query.classes)
        and (query.tenant is None or task.tenant == query.tenant)
        and (query.workflow_id is None or task.workflow_id == query.workflow_id)
        and (query.tenants is None or task.tenant in query.tenants)
        and all(task.labels.get(name) == value for name, value in query.labels.items())
    )
