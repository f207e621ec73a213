"""Where a task runs: the executor chosen, whether it is here, and what it can't hold.

payload.md, "Choosing mode and executor". Whether an executor is ready just now is not asked:
a task waits for one that is configured.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from runner.domain.execution import Execution, Payload
from runner.domain.plan import Mode
from runner.domain.refusal import Code, Refused, quote
from runner.domain.task import TaskClass
from runner.planning.policy import Rules

MODES_OF = {
    "local": frozenset({Mode.NATIVE, Mode.PYTHON}),
    "slurm": frozenset({Mode.NATIVE, Mode.PYTHON}),
    "ssh": frozenset({Mode.NATIVE, Mode.PYTHON}),
    "docker": frozenset({Mode.DOCKER, Mode.PYTHON}),
    "podman": frozenset({Mode.DOCKER, Mode.PYTHON}),
    "kubernetes": frozenset({Mode.DOCKER, Mode.PYTHON}),
}

IN_CONTAINERS = frozenset({"docker", "podman", "kubernetes"})
"""Executors that run images."""


def choose(asked: Execution, mode: Mode, task_class: TaskClass, rules: Rules) -> tuple[str, str]:
    """The executor's name, and why."""
    of_class = rules.classes[task_class].executor
    if asked.executor:
        return asked.executor, "the payload names it"
    # of mode python, what has an image runs in a container, and nothing else does
    apt = mode is not Mode.PYTHON or (of_class in IN_CONTAINERS) == bool(asked.image)
    if of_class != "auto" and apt and mode in MODES_OF.get(of_class, ()):
        return of_class, f"the configuration names it for class {task_class}"
    return _default(mode, task_class, rules, image=bool(asked.image))


def _default(
    mode: Mode, task_class: TaskClass, rules: Rules, *, image: bool = False
) -> tuple[str, str]:
    if mode is Mode.DOCKER or (mode is Mode.PYTHON and image):
        what = f"mode {mode}" if mode is Mode.DOCKER else "images"
        able = [
            name
            for name, modes in rules.host.executors.items()
            if mode in modes and name in IN_CONTAINERS
        ]
        there = [name for name in able if name in rules.host.engines and _is_ready(name, rules)]
        if task_class is TaskClass.GPU and (giving := [n for n in there if not _no_gpus(n, rules)]):
            return giving[0], f"the first for {what} that is ready and gives out GPUs"
        if there:
            return there[0], f"the first that is configured for {what}, and ready"
        return (able or ["docker"])[0], f"the first that is configured for {what}"
    if task_class is TaskClass.GPU_SLURM:
        return "slurm", "the default for class gpu_slurm"
    return "local", f"the default for mode {mode}"


def _is_ready(name: str, rules: Rules) -> bool:
    return rules.host.engines[name].ready


def _no_gpus(name: str, rules: Rules) -> str:
    """Why the executor can give no task a GPU; empty where it can."""
    engine = rules.host.engines.get(name)
    return engine.no_gpus if engine else ""


def default_executor(task_class: TaskClass, rules: Rules) -> str:
    """Where a task of the class runs whose payload says nothing of mode, image or executor."""
    of_class = rules.classes[task_class]
    if of_class.executor != "auto":
        return of_class.executor
    return _default(Mode.DOCKER if of_class.image else Mode.NATIVE, task_class, rules)[0]


_OWN_USERS = re.compile(r"[0-9]+-[0-9]+")


def check(asked: Execution, mode: Mode, executor: str, task_class: TaskClass, rules: Rules) -> None:
    """Raises Refused FAILED_PRECONDITION where this runner can't run it, or not hold it."""
    host = rules.host
    if mode not in host.executors.get(executor, ()):
        what = f"mode {mode} on executor {executor}"
        if mode is Mode.PYTHON and executor in host.executors and not host.interpreters:
            what = f"{what}, for want of an interpreter (python.interpreters)"
        _no_executor("/execution/executor" if asked.executor else "/execution/mode", what, rules)
    if task_class is TaskClass.GPU_SLURM:
        _no_executor("task_class", f"class {task_class}", rules)
    if task_class is TaskClass.GPU and not host.gpus:
        message = "this host has no GPU that is given out; env-runner info shows those there are"
        raise Refused.of_field(Code.FAILED_PRECONDITION, "task_class", "NO_GPU", message)
    if task_class is TaskClass.GPU and (why := _no_gpus(executor, rules)):
        field = "/execution/executor" if asked.executor else "task_class"
        message = f"executor {executor} can't give a task a GPU: {why}"
        raise Refused.of_field(Code.FAILED_PRECONDITION, field, "NO_EXECUTOR", message)
    if executor in host.engines:
        return
    if asked.mounts and not (executor == "local" and host.level == "strict"):
        message = f"mounts in mode {mode} need the strict sandbox; held here is {host.level}"
        _not_held("mounts", message)
    if asked.user and asked.user != host.task_user:
        _not_held("user", f"executor {executor} runs {_as_whom(host.task_user)}")


def _as_whom(user: str) -> str:
    if _OWN_USERS.fullmatch(user):
        return "each task as a user of its own"
    return f"every task as {quote(user)}" if user else "every task as one user"


def network(asked: Execution, mode: Mode, executor: str, rules: Rules) -> tuple[str, str]:
    """The task's network, and why. Raises Refused LIMIT_NOT_HELD."""
    if executor in rules.host.engines:
        if asked.network:
            return asked.network, "the payload names it"
        return "none", "the payload names none, and a container needs none"
    strict = executor == "local" and rules.host.level == "strict"
    if asked.network == "bridge":
        message = f"a task of mode {mode} on executor {executor} has no network or the host's own"
        _not_held("network", message)
    if asked.network == "none" and not strict:
        message = (
            f"only the strict sandbox keeps a task of mode {mode} from the network, and held here "
            f"is {rules.host.level}; leave it out to run with the host's"
        )
        _not_held("network", message)
    if asked.network:
        return asked.network, "the payload names it"
    if strict:
        return "none", "the payload names none, and the sandbox keeps it from any"
    return "host", "only the strict sandbox keeps a task from it"


def caveats(payload: Payload, mode: Mode, executor: str, rules: Rules) -> list[str]:
    """What a reader of the plan would else be surprised by: what it says and is not used, what
    is not held. One line each."""
    asked = payload.execution
    lines = [f"execution.{key}: not used {where}" for key, where in _unused(asked, mode, executor)]
    if executor == "local":
        why = f": {rules.host.why}" if rules.host.why else ""
        lines.append(f"sandbox {rules.host.level}{why}")
        if rules.host.gpus and rules.host.gpus_open:
            lines.append(f"GPUs: not kept from the others' here: {rules.host.gpus_open}")
    engine = rules.host.engines.get(executor)
    if payload.artifacts.outputs:
        lines.append("outputs: checked at the end, listed in the result, left in the workspace")
    lines.extend(rules.host.notes if engine is None else engine.notes)
    return lines


def _unused(asked: Execution, mode: Mode, executor: str) -> Iterator[tuple[str, str]]:
    if asked.image and executor not in IN_CONTAINERS:
        yield "image", f"in mode {mode}" if mode is Mode.NATIVE else f"by executor {executor}"
    if mode is not Mode.PYTHON and asked.python is not None:
        yield "python", f"in mode {mode}"
    for key in ("slurm", "ssh", "kubernetes"):
        if getattr(asked, key) is not None and executor != key:
            yield key, f"by executor {executor}"


def _no_executor(field: str, what: str, rules: Rules) -> None:
    here = "; ".join(
        f"mode {', '.join(sorted(modes))} on executor {name}"
        for name, modes in rules.host.executors.items()
    )
    message = f"this runner can't run {what}; it runs {here or 'nothing'}"
    raise Refused.of_field(Code.FAILED_PRECONDITION, field, "NO_EXECUTOR", message)


def _not_held(key: str, message: str) -> None:
    field = f"/execution/{key}"
    raise Refused.of_field(Code.FAILED_PRECONDITION, field, "LIMIT_NOT_HELD", message)
