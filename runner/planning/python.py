"""Mode python: which interpreter runs it, and what of it cannot be run or held here.

Not here: how it is called (`runner.python`), or how what it requires comes to be there.
"""

from __future__ import annotations

from runner.domain.execution import Execution, PythonCall
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
    if call.requirements:
        message = "an image has what it has: install them in it, or leave the image out"
        faults.add(below(_AT, "requirements"), "CONFLICT", message)
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
    path, version = _interpreter(call.python, host)
    if call.requirements and host.no_environments:
        message = f"no environment can be made for them: {host.no_environments}"
        field = below(_AT, "requirements")
        raise Refused.of_field(Code.FAILED_PRECONDITION, field, "NO_ENVIRONMENT", message)
    why = "the payload asks for that version" if call.python else "the first that is configured"
    plan = PythonPlan(call.entry_point, call.requirements, version)
    return path, plan, f"python: {what}, by {path} ({version}): {why}"


def _interpreter(wanted: str, host: Host) -> tuple[str, str]:
    for path, version in host.interpreters.items():
        if not wanted or f"{version}.".startswith(f"{wanted}."):
            return path, version
    there = ", ".join(f"{version} ({path})" for path, version in host.interpreters.items())
    here = f"those there are: {there}" if there else "there is none"
    message = f"no Python {wanted or '3'} on this runner; {here} (python.interpreters)"
    raise Refused.of_field(
        Code.FAILED_PRECONDITION, below(_AT, "python"), "NO_INTERPRETER", message
    )
