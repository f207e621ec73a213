from __future__ import annotations

import contextlib
import re
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.inline_metadata import BadBlock, ScriptNeeds, _blocks, read

REFERENCE = r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$"
"""As PEP 723 gives it; it takes quadratic time where many blocks begin and none ends."""

lines = st.sampled_from(
    ["# /// script", "# /// other", "# ///", "#", "# x = 1", "# ", "#x", "", "x = 1", "# /// a b"]
)


@given(st.lists(lines, max_size=14).map("\n".join))
def test_blocks_are_found_as_the_reference_finds_them(script: str) -> None:
    expected = [
        (
            match["type"],
            "".join(
                line[2:] if line.startswith("# ") else line[1:]
                for line in match["content"].splitlines(keepends=True)
            ),
        )
        for match in re.finditer(REFERENCE, script)
    ]
    assert list(_blocks(script)) == expected


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(script: str) -> None:
    with contextlib.suppress(BadBlock):
        assert isinstance(read(script), ScriptNeeds)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_block_says_what_the_script_needs(end: str) -> None:
    script = end.join(
        [
            "\ufeff# /// script",
            '# requires-python = ">=3.11"',
            "#",
            '# dependencies = ["numpy==2.*", "x[y]>1"]',
            "# [tool.uv]",
            '# index = "https://elsewhere"',
            "# ///",
            "import numpy",
        ]
    )
    assert read(script) == ScriptNeeds(("numpy==2.*", "x[y]>1"), ">=3.11")


def test_a_script_without_a_block_needs_nothing() -> None:
    assert read("print('# /// script')\n# /// script\nx\n# ///") == ScriptNeeds()


@pytest.mark.parametrize(
    ("block", "word"),
    [
        ("# dependencies = [", "no TOML"),
        ("# dependencies = 'x'", "no list"),
        ("# dependencies = [1]", "no list"),
        ("# dependencies = ['-r x']", "-r x"),
        ("# dependencies = ['a @ https://x']", "URL"),
        ("# requires-python = 3", "requires-python"),
        ("# requires-python = 'new'", "requires-python"),
        ("# a = " + "[" * 20_000, "no TOML"),
        ("# a = '" + "x" * 70_000 + "'", "at most"),
        ("# x = 1\n# ///\n\n# /// script\n# y = 1", "more than one"),
        ("# dependencies = [" + "'a'," * 1001 + "]", "1000 at most"),
    ],
)
def test_a_block_that_cannot_be_taken_is_told(block: str, word: str) -> None:
    with pytest.raises(BadBlock, match=re.escape(word)):
        read(f"# /// script\n{block}\n# ///\n")


def test_a_megabyte_of_beginnings_is_read_at_once() -> None:
    script = "# /// script\n" * 80_000
    assert read(script) == ScriptNeeds()
    with pytest.raises(BadBlock):
        read(script + "# ///")


def test_what_is_read_as_toml_is_what_stands_in_the_block() -> None:
    [(kind, content)] = _blocks('# /// script\n# a = """\n#   x\n#\n# """\n# ///')
    assert kind == "script"
    assert tomllib.loads(content) == {"a": "  x\n\n"}
