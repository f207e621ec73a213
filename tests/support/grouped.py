"""Real processes in real cgroups, without a keeper: started into a group, waited for, counted."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import syscalls
from runner.keeper.cgroups import Cgroups, Limits, Unavailable
from runner.keeper.cgroups_group import Group
from runner.keeper.tracing import Facts
from tests.support.keeper_client import eventually

MIB = 2**20


class Grouped:
    """The groups of one test. What it started is ended with it."""

    def __init__(self, root: Path) -> None:
        """Raises Unavailable."""
        self.groups = Cgroups(str(root))
        self._children: set[int] = set()

    def start(self, name: str, argv: list[str], limits: Limits, user: int | None = None) -> int:
        """Start a program in a new group of that name, as that user; the pid."""
        membership = self.groups.create(name, limits)
        pid = syscalls.clone_into(membership.directory)
        if pid == 0:
            try:
                for file in membership.files:
                    os.write(file, b"0")
                if user is not None:
                    os.setgroups(())
                    os.setresgid(user, user, user)
                    os.setresuid(user, user, user)
                os.execvp(argv[0], argv)  # noqa: S606 - there is to be none
            finally:
                os._exit(99)
        membership.close()
        self._children.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """Wait for its end: the exit code, or less than 0 for a signal."""
        self._children.discard(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def run(
        self, name: str, argv: list[str], limits: Limits, user: int | None = None
    ) -> tuple[int, Facts]:
        """Start it, wait for it, kill what it left; its exit code and what was counted."""
        code = self.wait(self.start(name, argv, limits, user))
        return code, self.end(name)

    def end(self, name: str) -> Facts:
        """Kill all of it, wait until it is empty, and remove it; what was counted."""
        group = self.groups.group(name)
        group.kill()
        eventually(lambda: gone(group), f"{name} is empty")
        facts = group.facts()
        group.remove()
        return facts

    def close(self) -> None:
        """End all that is left."""
        for name in self.groups.names():
            self.end(name)
        for pid in list(self._children):
            self.wait(pid)
        self.groups.close()


def gone(group: Group) -> bool:
    """Whether it is empty; kills again what was forked meanwhile."""
    if group.populated():
        group.kill()
        return False
    return True


@contextlib.contextmanager
def grouped(root: Path, *kinds: str) -> Iterator[Grouped]:
    """The groups of a test that needs these kinds of limits; skips where they cannot be held."""
    try:
        groups = Grouped(root)
    except Unavailable as error:
        pytest.skip(f"cannot here: {error}")
    try:
        for kind in kinds:
            if groups.groups.held[kind]:
                pytest.skip(f"cannot here: {groups.groups.held[kind]}")
        yield groups
    finally:
        groups.close()


def python(program: str) -> list[str]:
    """A command that runs it."""
    return [sys.executable, "-I", "-S", "-c", program]
