"""A limit of memory holds, however it is come to, and the kernel's count of kills is read."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.keeper import cgroups_v1, cgroups_v2
from tests.support.grouped import MIB, Grouped, grouped, python

LIMIT = 48 * MIB
AT_ONCE = "x = bytearray(256 << 20)"
SLOWLY = "x = []\nwhile True: x.append(bytearray(1 << 18))"
BUFFERS = """
import contextlib, socket
held, sent = [], 0
server = socket.create_server(("127.0.0.1", 0))
for _ in range(12):
    writing = socket.create_connection(server.getsockname())
    reading, _ = server.accept()
    for each in (writing, reading):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    writing.setblocking(False)
    held.append((writing, reading))
    with contextlib.suppress(BlockingIOError):
        while sent < 160 << 20:
            sent += writing.send(bytes(1 << 20))
raise SystemExit(sent < 64 << 20)
"""
CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {!r}])"


@pytest.fixture
def groups(home: Path) -> Iterator[Grouped]:
    with grouped(home, "memory") as found:
        yield found


@pytest.mark.parametrize("program", [AT_ONCE, SLOWLY], ids=["at once", "slowly"])
def test_who_takes_more_memory_than_it_may_is_killed_and_counted(
    groups: Grouped, program: str
) -> None:
    code, facts = groups.run("a", python(program), {"memory": LIMIT})
    assert code == -signal.SIGKILL
    assert facts["oom_kills"] == 1
    assert facts["memory_limit"] == LIMIT
    assert facts["memory_peak"] is None or LIMIT // 2 < facts["memory_peak"] <= LIMIT


@pytest.mark.parametrize("program", [AT_ONCE, SLOWLY], ids=["at once", "slowly"])
def test_a_child_that_does_is_counted_though_its_parent_exits_0(
    groups: Grouped, program: str
) -> None:
    code, facts = groups.run("a", python(CHILD.format(program)), {"memory": LIMIT})
    assert (code, facts["oom_kills"]) == (0, 1)


def test_the_same_program_below_its_limit_completes_and_its_neighbour_too(groups: Grouped) -> None:
    small = python("x = bytearray(16 << 20)")
    beside = groups.start("b", ["sleep", "60"], {"memory": LIMIT})
    assert groups.run("a", python(AT_ONCE), {"memory": LIMIT})[0] == -signal.SIGKILL
    code, facts = groups.run("a", small, {"memory": LIMIT})
    assert (code, facts["oom_kills"]) == (0, 0)
    assert facts["memory_peak"] is None or 16 * MIB < facts["memory_peak"] <= LIMIT
    assert groups.groups.group("b").processes() == [beside]


def test_pages_of_a_file_system_in_memory_count(groups: Grouped) -> None:
    program = "import os; f = os.memfd_create('x')\nwhile True: os.write(f, bytes(1 << 20))"
    code, facts = groups.run("a", python(program), {"memory": LIMIT})
    assert (code, facts["oom_kills"]) == (-signal.SIGKILL, 1)


def test_what_lies_in_buffers_of_sockets_is_held_too(groups: Grouped) -> None:
    """They are counted apart in the old hierarchies, where a sender is refused more; in the new
    one its process is killed."""
    unlimited, _ = groups.run("a", python(BUFFERS), {"memory": None})
    assert unlimited == 0, "no attack: the host's own limits hold"
    code, facts = groups.run("b", python(BUFFERS), {"memory": 24 * MIB})
    assert code == 1 or facts["oom_kills"]


def test_no_limit_is_told_as_none(groups: Grouped) -> None:
    code, facts = groups.run("a", ["true"], {"memory": None})
    assert (code, facts["memory_limit"]) == (0, None)


def test_swap_is_no_way_out(groups: Grouped) -> None:
    """Read back, since a build machine has no swap to try it with."""
    groups.groups.create("a", {"memory": LIMIT}).close()
    group = groups.groups.group("a")
    if "memory" in group.old:
        path, files = Path(group.old["memory"]), cgroups_v1.settings("memory", LIMIT)
    else:
        path, files = Path(group.path), cgroups_v2.settings("memory", LIMIT)
    for name, text in files:
        assert not (path / name).exists() or (path / name).read_text().strip() == text
    groups.end("a")
