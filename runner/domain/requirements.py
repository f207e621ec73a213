"""What a Python task needs installed: names, extras, versions and markers, as PEP 508 has them.

No URLs, paths and options: where packages come from is the configuration's. Not here: which
versions these come to (uv resolves that), and a script's own block (`inline_metadata.py`).

What reads them is imported where it is needed: most commands do without, and each of their starts
would take a tenth longer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from runner.domain.refusal import quote

LONGEST = 512  # characters of one requirement
MOST = 1000  # requirements of a task
_NAME = re.compile(r"\s*[A-Za-z0-9]")


def fault(text: str) -> str:
    """Why that is no requirement that is taken, as a sentence goes on after it; empty where it
    is one."""
    if len(text) > LONGEST:
        return f"is {len(text)} characters long; {LONGEST} at most"
    if not text.isprintable():  # a line's end would begin another one in a file of requirements
        return "holds a character that cannot be printed"
    if not _NAME.match(text):
        return "does not begin with a name; a name and versions are meant, no path or option"
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415

    try:
        read = Requirement(text)
    except InvalidRequirement as error:
        why = str(error).partition("\n")[0]
        return f"is no requirement ({why}); a name and versions are meant, no URL, path or option"
    except RecursionError:
        return "has a marker that is nested too deep"
    if read.url is not None:
        return "names a URL; a name and versions are meant, and the configuration says from where"
    arbitrary = next((each for each in read.specifier if each.operator == "==="), None)
    if arbitrary is not None and not re.fullmatch(r"[A-Za-z0-9.*+!_-]+", arbitrary.version):
        return f"has a version that is none: {quote(arbitrary.version)}"
    return ""


def normal(text: str) -> str:
    """One form for all ways to write the same requirement, which `fault` takes."""
    from packaging.requirements import Requirement  # noqa: PLC0415
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    read = Requirement(text)
    extras = f"[{','.join(sorted(map(canonicalize_name, read.extras)))}]" if read.extras else ""
    versions = ",".join(sorted(map(str, read.specifier)))
    marker = f" ; {read.marker}" if read.marker is not None else ""
    return f"{canonicalize_name(read.name)}{extras}{versions}{marker}"


def together(*asked: Iterable[str]) -> tuple[str, ...]:
    """All of them in their normal form, each once, in one order."""
    return tuple(sorted({normal(text) for texts in asked for text in texts}))


def versions_fault(text: str) -> str:
    """Why that is no range of versions (`requires-python`); empty where it is one."""
    if len(text) > LONGEST:
        return f"is {len(text)} characters long; {LONGEST} at most"
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415

    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return "is no range of versions, such as >=3.11"
    return ""


def admits(versions: str, version: str) -> bool:
    """Whether a range of versions, which `versions_fault` takes, has that version of Python."""
    if not versions:
        return True
    from packaging.specifiers import SpecifierSet  # noqa: PLC0415
    from packaging.version import InvalidVersion, Version  # noqa: PLC0415

    try:
        return SpecifierSet(versions).contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False
