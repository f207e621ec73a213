"""Payloads and rules for tests of planning, and what a refusal of them says."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.config import Config, load, rules
from runner.domain.canonical import parse
from runner.domain.payload import validate
from runner.domain.plan import Plan
from runner.domain.refusal import Refused
from runner.domain.task import TaskClass
from runner.host import HostFacts
from runner.planning.planner import plan
from runner.planning.policy import Policy, Rules

GIB = 2**30
HOST = HostFacts(4.0, 8 * GIB + 512 * 2**20, "boot", "host", "worker")
"""A host of 4 cores and, less what the runner keeps, 8 GiB."""


def running(*, command: object = ("true",), **execution: object) -> dict[str, Any]:
    """A payload that runs `command`, with other keys of `execution`."""
    return {"execution": {"command": list(command), **execution}}  # type: ignore[call-overload]


def as_bytes(payload: object) -> bytes:
    """A payload as it is sent."""
    return payload if isinstance(payload, bytes) else json.dumps(payload).encode()


def refused(payload: object) -> Refused:
    """How the form of a payload is refused. AssertionError where it is taken."""
    try:
        validate(parse(as_bytes(payload)))
    except Refused as error:
        return error
    raise AssertionError(f"taken: {payload!r}"[:200])


def faults(payload: object) -> list[tuple[str, str]]:
    """Every (field, reason) that is wrong with the form of a payload."""
    return [(fault.field, fault.reason) for fault in refused(payload).violations]


def default_config(**environ: str) -> Config:
    """The configuration of an empty file (not of the file that this host may have)."""
    return load(Path(os.devnull), {"HOME": "/home/worker", **environ}, root=False)


def some_rules(policy: Policy | None = None, **environ: str) -> Rules:
    """The rules of such a configuration on HOST, with another policy if given."""
    made = rules(default_config(**environ), HOST)
    return made if policy is None else replace(made, policy=policy)


def on(rules: Rules, **host: Any) -> Rules:
    """Those rules on a host that holds something else: `level`, `unheld`, `task_user`, …"""
    return replace(rules, host=replace(rules.host, **host))


def planned(
    payload: object, task_class: TaskClass = TaskClass.CPU_SHORT, by: Rules | None = None
) -> Plan:
    """The plan of a payload. Raises Refused."""
    return plan(validate(parse(as_bytes(payload))), task_class, by or some_rules())


def refusal(
    payload: object, task_class: TaskClass = TaskClass.CPU_SHORT, by: Rules | None = None
) -> Refused:
    """How a payload is refused, wherever. AssertionError where it is planned."""
    try:
        planned(payload, task_class, by)
    except Refused as error:
        return error
    raise AssertionError(f"planned: {payload!r}"[:200])
