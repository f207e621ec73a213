"""Keys of environments, the words for uv, and what is told of its failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.exit import Exit, Kept, Stopped, Usage
from runner.domain.failure import Fault
from runner.environments import commands, failures, values
from runner.environments.commands import Sources
from runner.environments.values import Interpreter, Settings, Wanted

SETTINGS = Settings(Path("/store"))
WANTED = Wanted(Interpreter("/usr/bin/python3.11", "3.11.2"), ("a", "b"), "acme")
SOURCES = Sources("/uv", ("/wheels",))


def test_the_key_is_of_all_that_decides_what_comes_out() -> None:
    others = [
        (replace(WANTED, tenant="other"), SETTINGS),
        (replace(WANTED, requirements=("a",)), SETTINGS),
        (replace(WANTED, interpreter=Interpreter("/usr/bin/python3.11", "3.11.3")), SETTINGS),
        (replace(WANTED, interpreter=Interpreter("/opt/python3.11", "3.11.2")), SETTINGS),
        (WANTED, replace(SETTINGS, index="https://index.example/simple")),
        (WANTED, replace(SETTINGS, wheel_houses=("/wheels",))),
        (WANTED, replace(SETTINGS, source_builds=True)),
    ]
    keys = {values.asked(*each) for each in [(WANTED, SETTINGS), *others]}
    assert len(keys) == len(others) + 1
    assert values.asked(WANTED, replace(SETTINGS, login="me:other", budget=1)) in keys


@given(st.text(), st.text())
def test_locks_and_tenants_are_told_apart(one: str, two: str) -> None:
    same = values.resolved(WANTED, one) == values.resolved(WANTED, two)
    assert same == (one == two)
    assert (values.place(one) == values.place(two)) == (one == two)
    assert values.place(one).isalnum()


@pytest.mark.parametrize("settings", [SETTINGS, replace(SETTINGS, index="https://i.example/s")])
def test_only_what_is_configured_is_asked_for_packages(settings: Settings) -> None:
    for request in (
        commands.resolve("/p", ["a"], settings, SOURCES),
        commands.install("/p", "a==1", settings, SOURCES),
    ):
        words, variables = request["commands"][-1], request["variables"]
        assert "/wheels" in words
        assert ("--no-index" in words) == (not settings.index)
        assert ("UV_OFFLINE" in variables) == (not settings.index)
        assert variables.get("UV_DEFAULT_INDEX", "") == settings.index
        assert words[words.index("--only-binary") + 1] == ":all:"
        assert variables["UV_PYTHON_DOWNLOADS"] == "never"


secrets = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=6, max_size=12)


@given(secrets.filter(lambda text: ":" not in text), secrets)
def test_the_login_goes_by_variable_and_is_told_nowhere(user: str, password: str) -> None:
    settings = replace(SETTINGS, index="https://index.example/simple", login=f"{user}:{password}")
    request = commands.resolve("/p", ["a"], settings, SOURCES)
    url = request["variables"]["UV_DEFAULT_INDEX"]
    assert url.startswith("https://")
    assert url.endswith("@index.example/simple")
    without = commands.resolve("/p", ["a"], replace(settings, login=""), SOURCES)
    assert request["commands"] == without["commands"]
    said = commands.hidden(f"({url}|{settings.login}|{password})", settings.login)
    assert said.count("****") >= 3
    assert set(said.split("|")[1:]) <= {"****", "****)", f"{user}:****"}


def test_without_a_login_nothing_is_hidden() -> None:
    assert commands.hidden("error: a: b", "") == "error: a: b"


SAID = """Resolved 1 package
error: No solution found when resolving dependencies
  cause: Because nosuch was not found in the
         index, it is unsatisfiable.
  hint: Look again
"""


def test_the_last_words_are_one_line() -> None:
    expected = (
        "No solution found when resolving dependencies Because nosuch was not found in the "
        "index, it is unsatisfiable. Look again"
    )
    assert failures.last_words(SAID) == expected
    assert failures.last_words("a\nb\nc\nd\n") == "b c d"
    assert failures.last_words("") == ""
    assert len(failures.last_words("error: " + "x" * 10_000)) == 1000


@pytest.mark.parametrize(
    ("end", "word", "fault"),
    [
        ({"code": 1}, "nosuch", Fault.TASK),
        ({"code": 2}, "nosuch", Fault.SYSTEM),
        ({"signal": 9}, "signal 9", Fault.SYSTEM),
        ({"signal": 9, "usage": Usage(oom_kills=1)}, "python.build_memory", Fault.TASK),
        ({"code": 2, "disk_full": True}, "python.build_disk", Fault.TASK),
        ({"signal": 15, "stopped": Stopped.WALL_TIME}, "python.build_timeout", Fault.SYSTEM),
        ({"lost": "the keeper died"}, "the keeper died", Fault.SYSTEM),
        ({"code": 0, "usage": Usage(stdout_bytes=9), "kept": Kept(8)}, "python.size", Fault.TASK),
    ],
)
def test_each_end_says_why_and_whose_fault_it_is(
    end: dict[str, object], word: str, fault: Fault
) -> None:
    told = failures.of_end(Exit(0, 1, **end), SAID, SETTINGS)  # type: ignore[arg-type]
    assert word in told.failure.message
    assert (told.failure.fault, told.failure.retryable) == (fault, fault is Fault.SYSTEM)
    assert told.failure.message.startswith("the python environment could not be built: ")
