"""A task that writes more than its disk has finds it full, alone, and is told so."""

from __future__ import annotations

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site

GRANTED = {"disk": "8MiB"}

FILLS = """
import errno, os, sys
path, size, how = sys.argv[1:]
try:
    with open(path, "wb", 0) as file:
        for _ in range(int(size)):
            file.write(bytes(1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
    os._exit(int(how))
print("fits", flush=True)
"""

MAKES_FILES = """
import errno, os
try:
    for number in range(1_000_000):
        os.close(os.open(f"file-{number}", os.O_CREAT | os.O_WRONLY))
except OSError as error:
    print(errno.errorcode[error.errno], number, flush=True)
    os._exit(1)
"""


async def test_it_finds_its_disk_full_and_that_is_the_reason(site: Site) -> None:
    """F11."""
    async with site.neighbour():
        ran = await site.run(site.payload(FILLS, "big", "64", "1", resources=GRANTED))
    assert ran.stdout == "ENOSPC\n"
    failure = ran.task.failure
    assert failure.reason == v1.FAILURE_REASON_LIMIT, failure.message
    assert failure.fault == v1.FAULT_TASK
    assert "disk of 8 MiB was full" in failure.message
    assert "8 MiB were used" in failure.message
    assert ran.task.attempts[0].usage.oom_kills == 0


async def test_it_finds_its_disk_full_and_exits_0(site: Site) -> None:
    ran = await site.run(site.payload(FILLS, "big", "64", "0", resources=GRANTED))
    assert ran.stdout == "ENOSPC\n"
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message


async def test_within_its_disk_it_completes(site: Site) -> None:
    ran = await site.run(site.payload(FILLS, "big", "6", "1", resources=GRANTED))
    assert ran.stdout == "fits\n"
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message


async def test_files_without_end_are_refused_though_they_are_empty(site: Site) -> None:
    ran = await site.run(site.payload(MAKES_FILES, resources=GRANTED))
    assert ran.stdout.startswith("ENOSPC"), ran.output.stderr
    assert ran.task.failure.reason == v1.FAILURE_REASON_LIMIT, ran.task.failure.message
    assert "disk" in ran.task.failure.message


async def test_a_disk_that_was_full_leaves_nothing_to_the_next_task(site: Site) -> None:
    for _ in range(2):
        ran = await site.run(site.payload(FILLS, "big", "6", "1", resources=GRANTED))
        assert ran.stdout == "fits\n"
