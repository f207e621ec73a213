"""How the runner stands: its status, whether it drains, and what requests are measured by."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from runner.domain.document import Document
from runner.domain.identity import check_task_id
from runner.domain.limits import Limits
from runner.domain.payload import whose
from runner.domain.principal import Principal, Role
from runner.domain.refusal import Refused
from runner.domain.task import Task, TaskClass
from runner.engine import refusals
from runner.engine.api import Assignment, ClassState, ExecutorStatus, GpuState, Status
from runner.engine.readiness import Board
from runner.engine.settings import Settings
from runner.planning.capacity import Ledger
from runner.planning.placing import default_executor
from runner.planning.policy import Rules
from runner.ports import Refusal

DRAINING = "draining"
"""The journal's setting: empty, or "draining: " and the reason."""

PATIENCE = 3.0
"""Seconds that a daemon which is stopping waits for what it is storing."""

STORED = 5.0
"""Seconds that a cancel waits until it is durable: as long as the journal keeps anybody waiting
who does not wait for ever. It may still be stored later; to ask again does no harm."""

STOP_ANSWER = 1.0
"""Seconds that the answer to a cancel waits for the executor to have heard of it."""

_PREFIX = "draining: "
_TAKEN = "a task of another tenant has it"


def read_drain(stored: str | None) -> str | None:
    """The reason for which the runner drains; None where it does not."""
    return stored.removeprefix(_PREFIX) if stored else None


def write_drain(reason: str | None) -> str:
    """The opposite of `read_drain`."""
    return "" if reason is None else _PREFIX + reason


def refusal(
    request: Assignment,
    refused: Refused,
    document: Document | None = None,
    held: Task | None = None,
) -> Refusal:
    """What observers are told of an assignment that was refused: `document` is its payload,
    where that was read, and `held` a task that has its id."""
    tenant, workflow_id = ("", "") if document is None else whose(document)
    return Refusal(
        refused.code,
        refused.reason,
        refused.rule,
        task_class=_class_of(request),
        task_id=_id_of(request),
        tenant=tenant,
        workflow_id=workflow_id,
        attempt=0 if held is None else len(held.attempts),
    )


def _class_of(request: Assignment) -> TaskClass | None:
    """The class that a request names, if it is one."""
    try:
        return TaskClass(request.task_class)
    except ValueError:
        return None


def _id_of(request: Assignment) -> str:
    """The task id that a request names, if it is one by its form."""
    try:
        check_task_id(request.task_id)
    except Refused:
        return ""
    return request.task_id


def check_grace(grace: float | None, limits: Limits) -> None:
    """Whether a cancel may leave a task so many seconds. Raises Refused OUT_OF_RANGE."""
    if grace is not None and not 0 <= grace <= limits.grace:
        raise refusals.out_of_range("grace", f"the class allows 0 to {limits.grace:g} s")


def containers(rules: Rules, running: Iterable[Task]) -> dict[str, int]:
    """How many containers run, by executor; of each that has any to do with them."""
    found = dict.fromkeys(rules.host.engines, 0)
    for task in running:
        if task.attempt.executor in found:
            found[task.attempt.executor] += 1
    return found


def gpus(
    states: Iterable[GpuState], who: Principal, find: Callable[[str], Task | None]
) -> tuple[GpuState, ...]:
    """The devices as `who` may see them: of a task that is not theirs, only that there is one; what
    others than tasks do on this host, only to operators."""
    told = (each if operates(who) else replace(each, problem=each.public) for each in states)
    return tuple(
        each
        if not each.task_id or _is_seen(find(each.task_id), who)
        else replace(each, task_id="", problem=_TAKEN)
        for each in told
    )


def operates(who: Principal) -> bool:
    """Whether the pids and paths of this host are for them to know."""
    return Role.OPERATOR in who.roles


def _is_seen(task: Task | None, who: Principal) -> bool:
    """One that is not known is being stored just now, and may be anybody's."""
    return task is not None and who.sees(task.tenant)


def status(
    rules: Rules,
    settings: Settings,
    ledger: Ledger,
    board: Board,
    *,
    draining: bool,
    queued: Callable[[TaskClass], int],
    start_time: int,
    bounds: tuple[int, int],
    journal_id: str,
    gpus: tuple[GpuState, ...],
) -> Status:
    """What the runner is, what it can run, and how full it is."""
    return Status(
        runner_id=settings.runner_id,
        version=settings.version,
        draining=draining,
        executors=tuple(_executor(name, rules, board) for name in rules.host.executors),
        classes=tuple(_class(name, rules, ledger, queued(name)) for name in rules.classes),
        cpu_cores=rules.host.cpu_cores,
        cpu_cores_free=ledger.cpu_free,
        memory_bytes=rules.host.memory_bytes,
        memory_bytes_free=ledger.memory_free,
        start_time=start_time,
        first_sequence=bounds[0],
        last_sequence=bounds[1],
        journal_id=journal_id,
        gpus=gpus,
    )


def _executor(name: str, rules: Rules, board: Board) -> ExecutorStatus:
    said = board.of(name)
    modes = tuple(sorted(rules.host.executors[name]))
    return ExecutorStatus(name, said.ready, said.version, said.problem, modes)


def _class(name: TaskClass, rules: Rules, ledger: Ledger, queued: int) -> ClassState:
    of_class = rules.classes[name]
    return ClassState(
        task_class=name,
        limits=of_class.limits,
        running=ledger.running(name),
        max_running=of_class.max_running,
        queued=queued,
        max_queued=of_class.max_queued,
        default_executor=default_executor(name, rules),
    )
