"""The task payload: its form checked, every fault told at once, its JSON Schema.

Not here: reading bytes (`document.py`), and what policy and the class make of it (`planning`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runner.domain.calls import ARGUMENTS, SCRIPT
from runner.domain.canonical import encode
from runner.domain.document import Document
from runner.domain.execution import Payload
from runner.domain.payload_form import PAYLOAD
from runner.domain.plan import Mode
from runner.domain.refusal import Refused
from runner.domain.shape import Faults
from runner.domain.written import member

__all__ = ["Body", "Payload", "body", "schema", "validate"]


@dataclass(frozen=True, slots=True)
class Body:
    """What a task is given beside argv and variables, as bytes: its stdin, its context as JSON,
    None where the payload has none; and, by name, the files that say what Python is to run."""

    stdin: bytes | None = None
    context: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def validate(document: Document) -> Payload:
    """The payload that a document holds. Raises Refused (INVALID_ARGUMENT) with every fault."""
    faults = Faults(document.faults)
    payload = PAYLOAD.read(document.value, "", faults)
    if faults.found:
        raise Refused.of_form(faults.found)
    if not isinstance(payload, Payload):
        raise TypeError("a payload without faults was not built")
    return payload


def whose(document: Document) -> tuple[str, str]:
    """The tenant and the workflow of a payload, faulty or not; each is empty where there is
    none, or it is none by its form."""
    value = document.value if isinstance(document.value, dict) else {}
    return _name(value, "tenant"), _name(value, "workflow_id")


def _name(value: dict[str, Any], key: str) -> str:
    read = PAYLOAD.fields[key].shape.read(value.get(key), key, Faults())
    return read if isinstance(read, str) else ""


def body(document: Document) -> Body:
    """The bytes that the task of a document, which has been validated, is given."""
    execution = document.value.get("execution", {})
    stdin = execution.get("stdin")
    return Body(
        None if stdin is None else stdin.encode(),
        encode(document.value["context"]) if "context" in document.value else None,
        _call(execution, document.raw),
    )


def _call(execution: dict[str, Any], raw: bytes) -> dict[str, bytes]:
    python = execution.get("python")
    if python is None or execution.get("mode", Mode.PYTHON) != Mode.PYTHON:
        return {}
    if (script := python.get("script")) is not None:
        return {SCRIPT: script.encode()}
    # as they were written: to Python, 1.0 and 1 are two things
    arguments = member(raw.decode(), "execution", "python", "arguments") or "{}"
    call = f'{{"entry_point": "{python["entry_point"]}", "arguments": {arguments}}}'
    return {ARGUMENTS: call.encode()}


def schema() -> dict[str, Any]:
    """The payload's JSON Schema, as far as a schema can say it: rules between fields and
    lengths in bytes are told when a task is assigned or planned."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "env-runner task payload",
        **PAYLOAD.schema(),
    }
