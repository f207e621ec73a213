"""A check of the Pythons that tasks may have: which answer, and whether a sandbox shows them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping

from runner import interpreters
from runner.config import Config
from runner.doctor.finding import Finding, ok, warn
from runner.domain import paths
from runner.domain.plan import Mode
from runner.keeper.view import DEFAULT

ID = "interpreters"


async def examine(config: Config) -> Iterator[Finding]:
    """`interpreters`; nothing where no task of mode python can come to this host itself."""
    if not config.local.enabled or Mode.PYTHON not in config.policy.modes:
        return iter(())
    found = await interpreters.there(config)
    problems = [f"{path}: {problem}" for path, problem in found.problems.items()]
    open_to_all = config.local.sandbox in {"standard", "none"}
    hidden = [] if open_to_all else unseen(found.versions, config)
    return iter((_told(found.versions, problems, hidden),))


def unseen(found: Iterable[str], config: Config) -> list[str]:
    """Those that tasks in the strict sandbox are not shown."""
    patterns = DEFAULT if config.local.view is None else config.local.view
    shown = [os.path.realpath(each) for pattern in patterns for each in glob.glob(pattern)]  # noqa: PTH207 - as the keeper does
    return [
        path
        for path in found
        if not any(paths.lies_below(os.path.realpath(path), each) for each in shown)
    ]


def _told(found: Mapping[str, str], problems: list[str], hidden: list[str]) -> Finding:
    here = ", ".join(f"{version} ({path})" for path, version in found.items())
    if problems:
        remedy = "mend it, or take it out of python.interpreters"
        return warn(ID, "; ".join([here, *problems]) if here else "; ".join(problems), remedy)
    if not found:
        remedy = "apt-get install python3, or name one as python.interpreters"
        return warn(ID, "tasks of mode python are refused: there is no /usr/bin/python3.X", remedy)
    if hidden:
        remedy = "name their directory, with what else tasks need, as executors.local.view"
        return warn(ID, f"{here}; not seen in the sandbox: {', '.join(hidden)}", remedy)
    return ok(ID, f"tasks of mode python may have {here}")
