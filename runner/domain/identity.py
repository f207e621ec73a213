"""The names that a request carries beside its payload: task id, class and labels."""

from __future__ import annotations

import re
from collections.abc import Mapping

from runner.domain.refusal import Code, Refused, Violation, quote
from runner.domain.task import TaskClass

NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
"""Task ids, tenants and workflow ids."""

MAX_LABELS = 32
_ID = re.compile(NAME)
_LABEL = re.compile(r"[A-Za-z0-9._/-]{1,63}")
_LONGEST = 128


def check_task_id(task_id: str) -> None:
    """Raises Refused BAD_ID where it is none."""
    if len(task_id) > _LONGEST or not _ID.fullmatch(task_id):
        said = f"{quote(task_id)} is no task id" if task_id else "a task id is needed"
        message = f"{said}; letters, digits, '.', '_' and '-', 128 at most, a letter or digit first"
        raise Refused.of_field(Code.INVALID_ARGUMENT, "task_id", "BAD_ID", message)


def check_class(name: str) -> TaskClass:
    """The class of that name. Raises Refused where it is empty or none."""
    try:
        return TaskClass(name)
    except ValueError:
        reason = "BAD_REFERENCE" if name else "REQUIRED"
        said = f"{quote(name)} is no task class" if name else "a task class is needed"
        message = f"{said}: {', '.join(TaskClass)}"
        raise Refused.of_field(Code.INVALID_ARGUMENT, "task_class", reason, message) from None


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises Refused where there are too many, or one is not of the protocol's form."""
    if len(labels) > MAX_LABELS:
        message = f"{len(labels)} labels are given; {MAX_LABELS} at most"
        raise Refused.of_field(Code.INVALID_ARGUMENT, "labels", "OUT_OF_RANGE", message)
    for key, value in labels.items():
        for word, part in ((key, "key"), (value, "value")):
            if not _LABEL.fullmatch(word):
                message = f"the {part} {quote(word)} is not 1 to 63 of letters, digits and ._/-"
                fault = Violation("labels", "BAD_NAME", message)
                raise Refused.of_form((fault,))
