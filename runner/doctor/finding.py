"""What a check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """Well; worth knowing; tasks cannot be taken, or promises not kept, until it is mended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """`id` is stable (`state.directory`); `found` and `remedy` are for a person, a sentence
    each; the remedy is empty where all is well."""

    id: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(id_: str, found: str) -> Finding:
    """All is well."""
    return Finding(id_, Verdict.OK, found)


def warn(id_: str, found: str, remedy: str) -> Finding:
    """It works, but not as well as it might."""
    return Finding(id_, Verdict.WARN, found, remedy)


def fail(id_: str, found: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(id_, Verdict.FAIL, found, remedy)


def worst(findings: Iterable[Finding]) -> Verdict:
    """The worst verdict among them; OK where there are none."""
    verdicts = {finding.verdict for finding in findings}
    return next((each for each in (Verdict.FAIL, Verdict.WARN) if each in verdicts), Verdict.OK)
