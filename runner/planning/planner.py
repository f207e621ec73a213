"""Payload, class and rules to a plan: every choice made, said and paid for before anything runs.

Refuses in the protocol's order: what is out of form or bounds, then policy, then executors.
Pure: what the host and the executors can do comes in with the rules.
"""

from __future__ import annotations

from runner.domain import payload_rules
from runner.domain.calls import SCRIPT
from runner.domain.execution import Execution, Payload, PythonCall
from runner.domain.payload import body
from runner.domain.plan import Mode, Plan, PythonPlan
from runner.domain.refusal import Code, Refused
from runner.domain.shape import Faults
from runner.domain.task import TaskClass
from runner.planning import bounds, grants, holding, placing, python, targets
from runner.planning.environment import environment
from runner.planning.policy import ClassRules, Rules

__all__ = ["body", "environment", "plan"]


def plan(payload: Payload, task_class: TaskClass, rules: Rules) -> Plan:
    """The plan of a task of this class. Raises Refused where it can't or may not be run.

    INVALID_ARGUMENT: the mode lacks something, or more is asked for than the class has.
    PERMISSION_DENIED: policy. FAILED_PRECONDITION: no executor here can run or hold it.
    """
    asked = payload.execution
    of_class = rules.classes[task_class]
    decisions: list[str] = []

    mode, why = _mode(asked, of_class)
    decisions.append(f"mode {mode}: {why}")
    executor, why = placing.choose(asked, mode, task_class, rules)
    decisions.append(f"executor {executor}: {why}")
    contained = mode is Mode.DOCKER or executor in placing.IN_CONTAINERS
    image = (asked.image or of_class.image) if mode is Mode.DOCKER else asked.image

    faults = Faults()
    payload_rules.needs(asked, mode, "/execution", faults)
    if mode is Mode.DOCKER and not image:
        message = f"mode docker needs an image, and class {task_class} has none of its own"
        faults.add("/execution/image", "REQUIRED", message)
    if mode is Mode.PYTHON:
        python.check(asked, faults, contained=contained)
    targets.check(asked, executor, faults, contained=contained)
    limits, said = bounds.resolve(asked.resources, task_class, of_class, faults)
    engine = rules.host.engines.get(executor)
    if engine is not None:
        bounds.of_container(limits, engine.unheld, faults)
    decisions.extend(said)
    if faults.found:
        raise Refused.of_form(faults.found)

    _allow(grants.denials(payload, mode, executor, task_class, rules, contained=contained))
    placing.check(asked, mode, executor, task_class, rules)
    argv, call = asked.argv, None
    if mode is Mode.PYTHON and asked.python is not None:
        argv, call, why = _python(asked.python, rules, contained=contained)
        decisions.append(why)
    network, why = placing.network(asked, mode, executor, rules)
    held = holding.Held(limits, (), ())
    local = executor == "local"
    if local or engine is not None:
        held = holding.hold(asked.resources, limits, task_class, rules, engine)
    decisions.extend(placing.caveats(payload, mode, executor, rules))
    decisions.append(f"network {network}: {why}")
    decisions.extend(held.decisions)

    return Plan(
        mode=mode,
        executor=executor,
        argv=argv,
        limits=held.limits,
        retry=asked.retry,
        image=image if contained else "",
        env=dict(asked.env),
        working_dir=asked.working_dir,
        user=rules.host.task_user if engine is None else asked.user or engine.user,
        mounts=asked.mounts,
        inputs=payload.artifacts.inputs,
        outputs=payload.artifacts.outputs,
        secrets=tuple(secret.name for secret in asked.secrets),
        network=network,
        decisions=tuple(decisions),
        level=rules.host.level if local else "",
        unheld=held.unheld,
        entrypoint=asked.entrypoint if mode is Mode.DOCKER else None,
        command=asked.command if mode is Mode.DOCKER else None,
        pull=asked.pull if contained else "",
        python=call,
    )


def _python(
    asked: PythonCall, rules: Rules, *, contained: bool
) -> tuple[tuple[str, ...], PythonPlan, str]:
    """The interpreter and what it is to run, as argv and as a plan, and a line about it."""
    interpreter, call, why = python.choose(asked, rules.host, contained=contained)
    return (interpreter, call.entry_point or SCRIPT), call, why


def _mode(asked: Execution, of_class: ClassRules) -> tuple[Mode, str]:
    mode = payload_rules.said_mode(asked)
    if mode is None:
        if of_class.image:
            return Mode.DOCKER, "the class has an image for tasks that name none"
        return Mode.NATIVE, "the payload names neither mode, python nor image"
    if asked.mode:
        return mode, "the payload names it"
    return mode, "the payload has execution.python" if mode is Mode.PYTHON else (
        "the payload names an image"
    )


def _allow(denied: list[grants.Denial]) -> None:
    """Raise for the first denial, telling of all."""
    if not denied:
        return
    first = denied[0].violation
    more = f" (and {len(denied) - 1} more)" if len(denied) > 1 else ""
    raise Refused(
        Code.PERMISSION_DENIED,
        first.reason,
        f"{first.field}: {first.message}{more}",
        violations=tuple(denial.violation for denial in denied),
        rule=denied[0].rule,
    )
