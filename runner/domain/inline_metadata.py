"""The block in a Python script that says what the script needs: PEP 723.

    # /// script
    # requires-python = ">=3.11"
    # dependencies = ["numpy==2.*"]
    # ///

Read as data, line by line: the script is never executed for it. Its table `tool` is for tools that
a person runs, and is passed over: where packages come from is the configuration's.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from runner.domain import requirements
from runner.domain.refusal import quote

LONGEST = 64 * 1024  # characters of the block
_START = re.compile(r"# /// ([a-zA-Z0-9-]+)")
_END = "# ///"


@dataclass(frozen=True, slots=True)
class ScriptNeeds:
    """What a script says that it needs: `requires_python` is a range of versions, or empty."""

    requirements: tuple[str, ...] = ()
    requires_python: str = ""


class BadBlock(Exception):
    """The block cannot be taken; the text is a sentence that says why."""


def read(script: str) -> ScriptNeeds:
    """What its block says; nothing where it has none. Raises BadBlock."""
    blocks = [content for kind, content in _blocks(script) if kind == "script"]
    if not blocks:
        return ScriptNeeds()
    if len(blocks) > 1:
        raise BadBlock("has more than one block `# /// script`")
    if len(blocks[0]) > LONGEST:
        raise BadBlock(f"has a block of {len(blocks[0])} characters; {LONGEST} at most")
    try:
        table = tomllib.loads(blocks[0])
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadBlock(f"has a block `# /// script` that is no TOML: {str(error)[:200]}") from error
    return ScriptNeeds(_dependencies(table.get("dependencies", [])), _python(table))


def _dependencies(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise BadBlock("has dependencies that are no list of texts")
    if len(given) > requirements.MOST:
        raise BadBlock(f"has {len(given)} dependencies; {requirements.MOST} at most")
    for each in given:
        if why := requirements.fault(each):
            raise BadBlock(f"has a dependency that is not taken: {quote(each)} {why}")
    return tuple(given)


def _python(table: dict[str, object]) -> str:
    given = table.get("requires-python", "")
    if not isinstance(given, str):
        raise BadBlock("has a requires-python that is no text")
    if why := requirements.versions_fault(given):
        raise BadBlock(f"has a requires-python that is not taken: {quote(given)} {why}")
    return given


def _blocks(script: str) -> Iterator[tuple[str, str]]:
    """Each block's kind and its content, with the signs of comments taken off. One ends at the
    last closing line before a line that is no comment, as the reference has it; one that is not
    closed is none."""
    lines = script.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    number = end = 0
    last = -1  # the last closing line of the comment that ends before `end`
    while number < len(lines):
        start = _START.fullmatch(lines[number])
        number += 1
        if start is None:
            continue
        if number > end:  # a comment is looked at once, however many blocks begin in it
            end, last = number, -1
            while end < len(lines) and (lines[end] == "#" or lines[end].startswith("# ")):
                last = end if lines[end] == _END else last
                end += 1
        if last <= number:  # nothing closes it, or nothing is in it
            continue
        yield start[1], "".join(f"{line[2:]}\n" for line in lines[number:last])
        number = last + 1
