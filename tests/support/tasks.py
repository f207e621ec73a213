"""Tasks and plans for tests that need one and do not care which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runner.domain.limits import Limits, RetryPolicy
from runner.domain.plan import Mode, Plan
from runner.domain.task import Attempt, Handle, State, Task, TaskClass

LIMITS = Limits(
    wall_time=60.0,
    idle_time=20.0,
    grace=5.0,
    cpu_cores=1.0,
    memory_bytes=1 << 30,
    max_processes=256,
    disk_bytes=1 << 30,
    output_bytes=1 << 26,
)
HANDLE = Handle("local", 1, "{}", "4711")


def a_plan(**changes: Any) -> Plan:
    return replace(Plan(Mode.NATIVE, "local", ("true",), LIMITS), **changes)


def a_task(task_id: str = "t1", *, plan: Plan | None = None, **changes: Any) -> Task:
    task = Task(task_id, TaskClass.CPU_SHORT, "digest", plan or a_plan(), accept_time=1)
    return replace(task, **changes)


def an_attempt(number: int = 1, **changes: Any) -> Attempt:
    return replace(Attempt(number, "local", f"er-x-{number}", "boot-1"), **changes)


def retrying(*on: str, attempts: int = 3) -> Plan:
    return a_plan(retry=RetryPolicy(max_attempts=attempts, on=on))


WAITING = a_task()
BACKOFF = a_task(retry_time=10, attempts=(an_attempt(end_time=9),))
PREPARING = a_task(state=State.PREPARING, attempts=(an_attempt(),))
RUNNING = a_task(
    state=State.RUNNING, attempts=(an_attempt(handle=HANDLE, start_time=5),), start_time=5
)
