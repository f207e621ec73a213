"""Output, wall time and idle time are held at every level, whatever the task does about it."""

from __future__ import annotations

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site

FLOODS = """
import os, sys
block = b"y\\n" * 32768
for _ in range(16 * int(sys.argv[1])):
    view = memoryview(block)
    while view:
        view = view[os.write(1, view):]
"""

STUBBORN = """
import os, signal, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
print("runs", flush=True)
while True:
    time.sleep(1)
"""


async def test_a_flood_of_output_is_kept_to_its_limit_and_its_end_stands(site: Site) -> None:
    """F19."""
    ran = await site.run(site.payload(FLOODS, "8", resources={"output": "1MiB"}))
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    assert len(ran.output.stdout) == 2**20
    assert ran.output.end is not None
    assert ran.output.end.truncated
    assert ran.output.gap is not None
    assert ran.task.attempts[0].usage.stdout_bytes == 8 * 2**20


async def test_within_its_output_nothing_is_cut(site: Site) -> None:
    ran = await site.run(site.payload(FLOODS, "1", resources={"output": "1MiB"}))
    assert len(ran.output.stdout) == 2**20
    assert ran.output.end is not None
    assert not ran.output.end.truncated


async def test_over_its_wall_time_it_is_killed_with_all_that_it_forked(site: Site) -> None:
    asked = {"timeout": "1s", "grace": "200ms"}
    ran = await site.run(site.payload(STUBBORN, resources=asked))
    assert ran.task.failure.reason == v1.FAILURE_REASON_TIMED_OUT
    assert "wall time of 1 s" in ran.task.failure.message
    assert ran.task.attempts[0].signal == 9
    assert site.processes_of(ran.task.task_id) == []


async def test_silent_for_its_idle_time_it_is_killed_and_the_two_are_told_apart(site: Site) -> None:
    asked = {"idle_timeout": "1s", "grace": "200ms"}
    ran = await site.run(site.payload(STUBBORN, resources=asked))
    assert ran.task.failure.reason == v1.FAILURE_REASON_TIMED_OUT
    assert "idle time" in ran.task.failure.message
    assert site.processes_of(ran.task.task_id) == []
