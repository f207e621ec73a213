"""A task that takes more memory than it was granted ends by it, alone, and is told so."""

from __future__ import annotations

import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Ran, Site

MIB = 2**20
GRANTED = {"memory": "64MiB"}

AT_ONCE = "block = bytearray(b'x') * (200 << 20)"

SLOWLY = """
import os
blocks = []
for number in range(200):
    blocks.append(os.urandom(1 << 20))
    print(number, flush=True)
"""

IN_A_CHILD = """
import os, sys
child = os.fork()
if child == 0:
    block = bytearray(b'x') * (200 << 20)
    os._exit(0)
os.waitpid(child, 0)
os._exit(int(sys.argv[1]))
"""

UNDER = """
import os
block = os.urandom(24 << 20)
print(len(block))
"""


def over_memory(ran: Ran) -> None:
    failure = ran.task.failure
    assert failure.reason == v1.FAILURE_REASON_OUT_OF_MEMORY, failure.message
    assert failure.fault == v1.FAULT_TASK
    assert "memory of 64 MiB" in failure.message
    assert "were used" in failure.message
    (attempt,) = ran.task.attempts
    assert attempt.usage.oom_kills >= 1
    assert 48 * MIB < attempt.usage.max_memory_bytes <= 73 * MIB


@pytest.mark.parametrize("program", [AT_ONCE, SLOWLY], ids=["at once", "slowly"])
async def test_it_is_out_of_memory(site: Site, program: str) -> None:
    async with site.neighbour():
        ran = await site.run(site.payload(program, resources=GRANTED))
    over_memory(ran)
    assert ran.task.attempts[0].signal == 9


async def test_a_child_that_is_out_of_memory_is_only_counted_where_the_task_exits_0(
    site: Site,
) -> None:
    ran = await site.run(site.payload(IN_A_CHILD, "0", resources=GRANTED))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    assert ran.task.attempts[0].usage.oom_kills == 1


async def test_a_child_that_is_out_of_memory_is_the_reason_where_the_task_does_not_exit_0(
    site: Site,
) -> None:
    ran = await site.run(site.payload(IN_A_CHILD, "1", resources=GRANTED))
    over_memory(ran)
    assert ran.task.attempts[0].exit_code == 1


async def test_too_little_memory_to_start_in_is_told_as_what_it_is(site: Site) -> None:
    asked: dict[str, object] = {"memory": "1MiB"}
    if site.level != "none":
        asked["disk"] = "4KiB"
    task = (await site.run(site.payload("pass", resources=asked))).task
    assert task.failure.reason == v1.FAILURE_REASON_OUT_OF_MEMORY, task.failure.message
    assert (task.failure.fault, task.failure.retryable) == (v1.FAULT_TASK, False)
    assert "memory of 1 MiB" in task.failure.message
    assert len(task.attempts) == 1


async def test_under_its_memory_it_completes_and_what_it_used_is_told(site: Site) -> None:
    ran = await site.run(site.payload(UNDER, resources=GRANTED))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    usage = ran.task.attempts[0].usage
    assert usage.oom_kills == 0
    assert 24 * MIB <= usage.max_memory_bytes <= 72 * MIB


FULL_THEN_GREEDY = """
import os
try:
    with open("full", "wb") as file:
        while True:
            file.write(bytes(1 << 16))
except OSError as error:
    print(error.errno, flush=True)
block = bytearray(b'x') * (200 << 20)
"""


async def test_a_full_disk_takes_no_memory_from_it_and_is_not_taken_for_its_lack(
    site: Site,
) -> None:
    """What lies on its disk is memory of the same group, which is larger by that."""
    asked = GRANTED | {"disk": "8MiB"}
    over_memory(await site.run(site.payload(FULL_THEN_GREEDY, resources=asked)))
    small = FULL_THEN_GREEDY.replace("200 << 20", "24 << 20") + "\nos._exit(3)"
    ran = await site.run(site.payload(small, resources=asked))
    assert ran.task.failure.reason == v1.FAILURE_REASON_LIMIT, ran.task.failure.message
    assert "disk of 8 MiB was full" in ran.task.failure.message
    assert ran.task.attempts[0].usage.oom_kills == 0
