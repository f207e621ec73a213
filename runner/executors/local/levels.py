"""Which sandbox a keeper's tasks get: what the configuration names, else the best that it holds.

Nothing falls back silently: what is named and cannot be held makes the executor unready.
"""

from __future__ import annotations

import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.domain.plan import Mode
from runner.keeper.messages import LEVELS
from runner.ports import Readiness

_UNUSED_USER = ("executors.local.user: not used, since each running task has a user of its own",)


@dataclass(frozen=True, slots=True)
class Choice:
    """`level` and why that one; or, where it is empty, the `problem`."""

    level: str
    why: str = ""
    problem: str = ""


def choose(
    welcome: Mapping[str, Any], named: str = "", task_user: tuple[int, int] | None = None
) -> Choice:
    """By what the keeper said of itself. `named` is what the configuration names, if anything;
    `task_user` whom it names for tasks that have no user each.

    A keeper that is root runs tasks without a sandbox only where that is named.
    """
    refused: dict[str, str] = dict(welcome["levels"])
    if welcome["uid"] == 0 and not welcome["users"] and task_user is None:
        refused["standard"] = refused["standard"] or "no user for tasks is named"
    if named:
        if why := refused[named]:
            return Choice("", problem=f"sandbox {named} is configured and cannot be held: {why}")
        return Choice(named, "the configuration names it")
    lacking: list[str] = []
    for level in LEVELS:
        why = refused[level]
        if level == "none" and welcome["uid"] == 0:
            why = 'only where the configuration names it (executors.local.sandbox = "none")'
        if not why:
            best = "the best that this host can hold"
            return Choice(level, "; ".join((best, *lacking)))
        lacking.append(f"not {level}: {why}")
    return Choice("", problem="; ".join(("no sandbox can be held", *lacking)))


def readiness(
    welcome: Mapping[str, Any], named: str, task_user: tuple[int, int] | None
) -> Readiness:
    """What an executor says of itself whose keeper said that; see `choose` for `named`."""
    choice = choose(welcome, named, task_user)
    unheld = {kind: why for kind, why in welcome["held"].items() if why}
    if choice.problem:
        return Readiness(ready=False, problem=choice.problem, unheld=unheld)
    found = "by cgroup" if welcome["mode"] == "cgroup2" else "by process group and descent"
    pool = _pool(welcome, choice.level, task_user)
    return Readiness(
        ready=True,
        # the one text that GetRunner has
        version=f"{welcome['version']}, sandbox {choice.level} ({choice.why}), tasks found {found}",
        modes=(Mode.NATIVE, Mode.PYTHON) if "task_files" in welcome else (Mode.NATIVE,),
        notes=(
            _as_whom(welcome["uid"], pool, task_user),
            f"the processes of a task are found and killed {found}",
            *(_UNUSED_USER if pool and task_user else ()),
            *welcome["notes"],
        ),
        level=choice.level,
        why=choice.why,
        unheld=unheld,
        user=pool or ("" if task_user else _name(welcome["uid"])),
        gpus_open=_gpus_open(welcome, choice.level),
    )


def _gpus_open(welcome: Mapping[str, Any], level: str) -> str:
    """Why tasks of that level can open GPUs that are not theirs; empty where they cannot."""
    if "devices" not in welcome:
        return "the keeper is of a version that knows of no GPUs: reload it"
    return "" if level == "strict" else str(welcome["devices"])


def _pool(welcome: Mapping[str, Any], level: str, task_user: tuple[int, int] | None) -> str:
    """The uids of which each running task has one; empty where all run as one user."""
    fixed = level == "none" or (level == "standard" and task_user is not None)
    return "" if fixed or welcome["uid"] != 0 else str(welcome["users"])


def _as_whom(keeper: int, pool: str, task_user: tuple[int, int] | None) -> str:
    if pool:
        return (
            f"each running task has a user of its own, of uids {pool}; the keeper is uid {keeper}"
        )
    uid = keeper if task_user is None else task_user[0]
    return f"tasks run as uid {uid}, the keeper as uid {keeper}"


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a number without a name, as in containers
        return str(uid)
