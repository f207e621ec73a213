"""Processor time is shared by weight and held to a quota; both by the kernel's own clocks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import cgroups_tree as tree
from tests.support.grouped import Grouped, grouped, python
from tests.support.keeper_client import eventually

BUSY = python("while True: pass")
PINNED = python("import os; os.sched_setaffinity(0, [{}])\nwhile True: pass")


@pytest.fixture
def groups(home: Path) -> Iterator[Grouped]:
    with grouped(home, "cpu") as found:
        yield found


def seconds(groups: Grouped, name: str) -> float:
    return groups.groups.group(name).facts()["cpu_seconds"] or 0.0


def test_a_busy_task_with_a_quarter_of_a_core_uses_about_that(groups: Grouped) -> None:
    groups.start("a", BUSY, {"cpu": 0.25})
    group = groups.groups.group("a")
    path = group.old.get("cpu", group.path)

    def periods() -> int:
        return tree.table(f"{path}/cpu.stat").get("nr_periods", 0)

    eventually(lambda: periods() > 0, "it runs")
    before, used = periods(), seconds(groups, "a")
    eventually(lambda: periods() >= before + 15, "it was let run and was stopped")
    share = (seconds(groups, "a") - used) / (0.1 * (periods() - before))
    assert tree.table(f"{path}/cpu.stat")["nr_throttled"] > 0
    assert 0.1 < share < 0.4
    groups.end("a")


def test_two_busy_tasks_share_a_core_as_they_were_granted(groups: Grouped) -> None:
    core = min(os.sched_getaffinity(0))
    pinned = [word.format(core) for word in PINNED]
    granted = {"a": 1.0, "b": 4.0}
    for name, cores in granted.items():
        groups.start(name, pinned, {"cpu": cores})
    eventually(lambda: all(seconds(groups, name) > 0.1 for name in granted), "both run")
    before = {name: seconds(groups, name) for name in granted}

    def used() -> list[float]:
        return [seconds(groups, name) - before[name] for name in granted]

    eventually(lambda: sum(used()) > 1.5, "both had time")
    less, more = used()
    assert 2 < more / less < 8
    for name in granted:
        groups.end(name)
