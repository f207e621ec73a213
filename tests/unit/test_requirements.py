from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain import requirements

names = st.from_regex(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,8}[A-Za-z0-9])?", fullmatch=True)
versions = st.lists(
    st.tuples(st.sampled_from(["==", ">=", "<", "!=", "~="]), st.integers(0, 99)).map(
        lambda pair: f"{pair[0]}{pair[1]}.0"
    ),
    max_size=3,
    unique=True,
)


@given(st.text(max_size=600))
def test_any_text_is_judged_and_what_is_taken_has_one_form(text: str) -> None:
    if not requirements.fault(text):
        normal = requirements.normal(text)
        assert not requirements.fault(normal)
        assert requirements.normal(normal) == normal


@given(names, versions)
def test_the_same_requirement_written_otherwise_is_the_same(name: str, asked: list[str]) -> None:
    one = f"{name}{','.join(asked)}"
    other = f" {name.upper().replace('-', '_')} {' , '.join(reversed(asked))}"
    assert requirements.together([one], [other]) == (requirements.normal(one),)


@pytest.mark.parametrize(
    "text",
    [
        "numpy",
        "numpy==2.*",
        "torch[cuda] >= 2, <3",
        'x~=1.0; python_version < "3.12" and extra == "y"',
        "A.b_c-d===1.0.post1",
    ],
)
def test_names_extras_versions_and_markers_are_taken(text: str) -> None:
    assert requirements.fault(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "-r x", "--index-url=https://x", "-e .", "./x", "/x", "../x.whl", "x/y"),
        *("a @ https://x/a.whl", "a @ file:///etc/passwd", "git+https://x", "https://x"),
        *("a; x", "a == ", "a b", "a --hash=sha256:0", "a\n-r /etc/passwd", "a\r--pre", "a\0"),
        *("a==1 # x", "${HOME}", "a[", "a" * 513, "a ===1;x", "a;" + "(" * 500),
    ],
)
def test_urls_paths_options_and_second_lines_are_not_taken(text: str) -> None:
    assert requirements.fault(text)


def test_a_range_of_versions_says_which_it_has() -> None:
    assert requirements.admits(">=3.11", "3.11.2")
    assert requirements.admits("", "3.11.2")
    assert not requirements.admits(">=3.12", "3.11.2")
    assert not requirements.admits(">=3", "no version")
    assert requirements.versions_fault(">=3.11,<4") == ""
    assert requirements.versions_fault("latest")
    assert requirements.versions_fault(">=3" * 200)
