"""The task payload: its form checked, every fault told at once, its JSON Schema.

Not here: reading bytes (`document.py`), and what policy and the class make of it (`planning`).
"""

from __future__ import annotations

from typing import Any

from runner.domain.canonical import encode
from runner.domain.document import Document
from runner.domain.execution import Payload
from runner.domain.payload_form import PAYLOAD
from runner.domain.refusal import Refused
from runner.domain.shape import Faults

__all__ = ["Payload", "body", "schema", "validate"]


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


def body(document: Document) -> tuple[bytes | None, bytes | None]:
    """What a task is given beside argv and variables: the bytes of its stdin, and its context
    as JSON; None where the payload has none. The document has been validated."""
    stdin = document.value.get("execution", {}).get("stdin")
    context = encode(document.value["context"]) if "context" in document.value else None
    return None if stdin is None else stdin.encode(), context


def schema() -> dict[str, Any]:
    """The payload's JSON Schema, as far as a schema can say it: rules between fields and
    lengths in bytes are told when a task is assigned or planned."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "env-runner task payload",
        **PAYLOAD.schema(),
    }
