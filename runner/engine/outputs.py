"""The outputs that a payload declares, looked for once the process has ended.

One that stays in the workspace is listed in the result. What a task left is data: a link, a
pipe, a device, a second name of another file is no output, and fails the task as a missing one
does. Not here: storing at a `uri`, which this version cannot.
"""

from __future__ import annotations

from dataclasses import replace

from runner.domain.failure import Failure, Fault, Reason
from runner.domain.paths import output_places
from runner.domain.plan import Artifact
from runner.domain.task import Result, Task
from runner.domain.verdict import Verdict, cancelled, judge
from runner.ports import Executor, Found

_LISTED = 1000
"""Outputs that a result lists at most; of more files, name their directory."""

_GLOB = frozenset("*?[")


async def collect(executor: Executor, task: Task) -> tuple[Failure | None, Result | None]:
    """What is wrong with the outputs of the task's last attempt, or the result that lists them.

    Only those are looked for that are wanted of a task that ended so. Raises what the executor
    raises.
    """
    exit_ = task.attempt.exit
    if any(output.uri for output in task.plan.outputs):
        # planning refuses a `uri`; what another version accepted with one is told so
        text = "this version of the runner cannot store outputs at a uri"
        return Failure(Reason.OUTPUT, text, Fault.SYSTEM, retryable=True), None
    if exit_ is None:
        return None, None
    verdict = judge(exit_, task.plan.limits, cancelled=cancelled(task, exit_))
    if verdict != Verdict():
        return None, None
    listed: dict[str, Artifact] = {}
    for output in task.plan.outputs:
        files, problem = await _of(executor, task, output)
        if problem:
            return Failure(Reason.OUTPUT, problem, Fault.TASK), None
        for each in files:
            if each.path in listed and _GLOB & set(output.path):
                continue  # once, as what named it
            size = 0 if each.directory else each.size_bytes
            listed[each.path] = replace(output, path=each.path, size_bytes=size)
    if len(listed) > _LISTED:
        text = f"its outputs are more than the {_LISTED} that can be listed: name their directory"
        return Failure(Reason.OUTPUT, text, Fault.TASK), None
    return None, Result(
        latency=0.0, outputs=tuple(listed.values())
    )  # the latency comes with its end


def reported(listed: Result, told: Result | None) -> Result:
    """The result with what the task itself reports beside its listed outputs: those that are
    listed already stand as they were found, and get its type where the payload gives none."""
    if told is None:
        return listed
    types = {each.path: each.type for each in told.outputs if each.path}
    outputs = [replace(one, type=one.type or types.get(one.path, "")) for one in listed.outputs]
    known = {each.path for each in outputs}
    more = [each for each in told.outputs if not each.path or each.path not in known]
    return replace(told, outputs=(*outputs, *more))


async def _of(executor: Executor, task: Task, output: Artifact) -> tuple[list[Found], str]:
    """What an output means, a directory as a whole, and what is wrong with it."""
    name = task.attempt.name
    for pattern in output_places(task.plan.working_dir, output.path):
        found = await executor.find(name, pattern)
        if not found:
            continue
        for each in found:
            if each.problem:
                return [], f"its output {each.path!r:.200} cannot be taken: {each.problem}"
        return found, ""
    if output.optional:
        return [], ""
    what = "nothing matches" if _GLOB & set(output.path) else "there is no file"
    return [], f"an output is missing: {what} {output.path!r:.200} in its workspace"
