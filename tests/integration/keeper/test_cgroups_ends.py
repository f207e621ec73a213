"""What the record of an end says of the limits that a task was held to."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.support.grouped import MIB
from tests.support.keeper_client import Keeper

AT_ONCE = "x = bytearray(256 << 20)"
CHILD = f"import subprocess, sys; subprocess.run([sys.executable, '-ISc', {AT_ONCE!r}])"
REFUSED = """
import os, signal
for _ in range(30):
    try:
        if os.fork() == 0:
            signal.pause()
    except OSError:
        os._exit(3)
"""


def end(keeper: Keeper, program: str, **limits: float) -> dict[str, Any]:
    """The record of a program that was held to these limits."""
    client = keeper.client()
    for kind in limits:
        if client.welcome["held"][kind]:
            pytest.skip(f"cannot here: {client.welcome['held'][kind]}")
    client.python("a", program, limits=limits)
    return client.end("a")


def test_a_task_that_was_killed_for_memory_is_told_with_limit_and_peak(plain: Keeper) -> None:
    record = end(plain, AT_ONCE, memory=48 * MIB)
    assert (record["signal"], record["oom_kills"]) == (signal.SIGKILL, 1)
    assert record["memory_limit"] == 48 * MIB
    assert 24 * MIB < record["max_memory_bytes"] <= 48 * MIB


def test_a_killed_child_of_a_task_that_exits_0_is_told(plain: Keeper) -> None:
    record = end(plain, CHILD, memory=48 * MIB)
    assert (record["code"], record["oom_kills"]) == (0, 1)


def test_refused_forks_are_told_and_what_was_forked_is_gone(plain: Keeper) -> None:
    record = end(plain, REFUSED, processes=10)
    assert (record["code"], record["leftovers"]) == (3, 9)
    assert record["pids_refused"] == 1


def test_a_task_within_its_limits_is_told_as_such(plain: Keeper) -> None:
    record = end(plain, "x = bytearray(8 << 20)", memory=64 * MIB, processes=10, cpu=0.5)
    assert (record["code"], record["oom_kills"], record["pids_refused"]) == (0, 0, 0)
    assert 8 * MIB < record["max_memory_bytes"] <= 64 * MIB
    assert record["cpu_seconds"] > 0
