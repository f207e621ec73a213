"""How much a task gets: what it asks for, within what its class has; else the class's default.

What is over the class's limit is refused, never cut; a default is cut to it.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import fields

from runner.domain.execution import Resources
from runner.domain.limits import Limits, size_text
from runner.domain.shape import Faults
from runner.domain.task import TaskClass
from runner.planning.policy import ClassRules

NAMES = {
    "timeout": "wall_time",
    "idle_timeout": "idle_time",
    "grace": "grace",
    "cpu": "cpu_cores",
    "memory": "memory_bytes",
    "processes": "max_processes",
    "disk": "disk_bytes",
    "output": "output_bytes",
    "gpu": "gpus",
}
"""Keys of `resources` to fields of Limits."""

LEAST_CPU = 0.01
"""Cores. A container's share is a quota of 100 ms, and the kernel takes none below 1 ms."""

_TIMES = frozenset({"timeout", "idle_timeout", "grace"})
_SIZES = frozenset({"memory", "disk", "output"})
_WHOLE = frozenset({"memory", "processes", "disk", "output"})


def resolve(
    asked: Resources, task_class: TaskClass, of_class: ClassRules, faults: Faults
) -> tuple[Limits, list[str]]:
    """The task's limits and the lines that say where they come from; notes what is over."""
    values: dict[str, float | None] = {}
    defaulted: list[str] = []
    for key, name in NAMES.items():
        wanted = getattr(asked, key)
        default = _known(getattr(of_class.defaults, name))
        limit = _known(getattr(of_class.limits, name))
        if key == "gpu":
            values[name] = _gpus(wanted, task_class, faults)
        elif wanted is None:
            values[name] = _least(default, limit)
            defaulted.append(f"{key} {show(key, values[name])}")
        elif limit is not None and wanted > limit and not (wanted == math.inf and default is None):
            what = "no limit" if wanted == math.inf else show(key, wanted)
            message = f"{what} is over the limit of class {task_class}: {show(key, limit)}"
            faults.add(f"/execution/resources/{key}", "OUT_OF_RANGE", message)
        else:
            values[name] = None if wanted == math.inf else wanted
    decisions = [f"defaults of class {task_class}: {', '.join(defaulted)}"] if defaulted else []
    return _limits(values), decisions


def of_container(limits: Limits, unheld: Collection[str], faults: Faults) -> None:
    """Note what is less than a container can be given of what is held there."""
    if "cpu" not in unheld and 0 < limits.cpu_cores < LEAST_CPU:
        message = f"{limits.cpu_cores:g} is less than a container can be given: {LEAST_CPU}"
        faults.add("/execution/resources/cpu", "OUT_OF_RANGE", message)


def show(key: str, amount: float | None) -> str:
    """An amount of a resource for a person."""
    if amount is None:
        return "none"
    if key in _TIMES:
        return f"{amount:g} s"
    if key in _SIZES:
        return size_text(int(amount))
    return f"{amount:g}"


def _known(amount: float | None) -> float | None:
    """0 is "not set here" in Limits, but for the grace period, where it is never asked for."""
    return None if amount == 0 else amount


def _least(default: float | None, limit: float | None) -> float | None:
    return default if default is None or limit is None else min(default, limit)


def _gpus(wanted: int | None, task_class: TaskClass, faults: Faults) -> int:
    right = 1 if task_class is TaskClass.GPU else 0
    if wanted is not None and wanted != right:
        message = f"a task of class {task_class} has {right}: exactly 1 in gpu, 0 elsewhere"
        faults.add("/execution/resources/gpu", "OUT_OF_RANGE", message)
    return right


def _limits(values: dict[str, float | None]) -> Limits:
    """As Limits has it: None is "no limit" of a time, 0 is "not set" of the others."""
    amounts: dict[str, float | int | None] = {}
    for field in fields(Limits):
        amount = values.get(field.name)
        if field.name not in {"wall_time", "idle_time"} and amount is None:
            amount = 0
        whole = field.name not in {"wall_time", "idle_time", "grace", "cpu_cores"}
        amounts[field.name] = int(amount) if whole and amount is not None else amount
    return Limits(**amounts)  # type: ignore[arg-type]  # the loop above gives each its type
