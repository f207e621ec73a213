"""Mode python: which interpreter runs it, and what of it cannot be run or held here.

Not here: how it is called (`runner.python`), or how what it requires comes to be there.
"""

from __future__ import annotations

from runner.domain import inline_metadata, requirements
from runner.domain.execution import Execution, PythonCall
from runner.domain.inline_metadata import ScriptNeeds
from runner.domain.plan import PythonPlan
from runner.domain.pointer import below
from runner.domain.refusal import Code, Refused, quote
from runner.domain.shape import Faults
from runner.planning.policy import Host

_AT = "/execution/python"
_MINOR = 2  # parts of a version that is no full one


def check(asked: Execution, faults: Faults, *, contained: bool) -> None:
    """Note what has no meaning with an image (`contained`), or without."""
    call = asked.python
    if call is None:
        return
    if not contained:
        if asked.working_dir.startswith("/"):
            message = "without a container a path below the workspace is meant, not "
            faults.add("/execution/working_dir", "BAD_PATH", message + quote(asked.working_dir))
        return
    message = "an image has what it has: install them in it, or leave the image out"
    if call.requirements:
        faults.add(below(_AT, "requirements"), "CONFLICT", message)
    if _of_script(call).requirements:
        faults.add(below(_AT, "script"), "CONFLICT", f"its block names dependencies; {message}")
    if len(call.python.split(".")) > _MINOR:
        message = f"which {call.python} an image has is its own: say no more than "
        minor = ".".join(call.python.split(".")[:_MINOR])
        faults.add(below(_AT, "python"), "CONFLICT", f"{message}{minor}")


def choose(call: PythonCall, host: Host, *, contained: bool) -> tuple[str, PythonPlan, str]:
    """The interpreter, what it runs, and a line that says so. Raises Refused FAILED_PRECONDITION
    where this host has no such interpreter, or cannot make the environment."""
    what = call.entry_point or "the script"
    if contained:
        path = f"python{call.python or 3}"
        plan = PythonPlan(call.entry_point)
        return path, plan, f"python: {what}, by {path} on the image's PATH"
    script = _of_script(call)
    path, version = _interpreter(call.python, script.requires_python, host)
    needed = requirements.together(call.requirements, script.requirements)
    if needed and host.no_environments:
        message = f"no environment can be made for them: {host.no_environments}"
        field = below(_AT, "requirements" if call.requirements else "script")
        raise Refused.of_field(Code.FAILED_PRECONDITION, field, "NO_ENVIRONMENT", message)
    why = "the payload asks for that version" if call.python else "the first that is configured"
    plan = PythonPlan(call.entry_point, needed, version)
    installed = f"; with {', '.join(needed)}" if needed else ""
    return path, plan, f"python: {what}, by {path} ({version}): {why}{installed}"


def _of_script(call: PythonCall) -> ScriptNeeds:
    """What its block says, which was read when the payload was checked."""
    return ScriptNeeds() if call.script is None else inline_metadata.read(call.script)


def _interpreter(wanted: str, required: str, host: Host) -> tuple[str, str]:
    """By the payload's version, and the range that a script says."""
    for path, version in host.interpreters.items():
        if wanted and not f"{version}.".startswith(f"{wanted}."):
            continue
        if requirements.admits(required, version):
            return path, version
    there = ", ".join(f"{version} ({path})" for path, version in host.interpreters.items())
    here = f"those there are: {there}" if there else "there is none"
    asked = f"{wanted or '3'}{f' ({required}, says the script)' if required else ''}"
    message = f"no Python {asked} on this runner; {here} (python.interpreters)"
    raise Refused.of_field(
        Code.FAILED_PRECONDITION, below(_AT, "python"), "NO_INTERPRETER", message
    )
