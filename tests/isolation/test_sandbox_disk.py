"""In the sandbox, all that a task can write to lies on its disk."""

from __future__ import annotations

import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Site

FILLS = """
import errno, os, sys
try:
    with open(sys.argv[1], "wb", 0) as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
    os._exit(1)
print("fits", flush=True)
"""


@pytest.mark.parametrize(
    "path", ["/workspace/big", "/tmp/big", "/var/tmp/big", "/dev/shm/big", "/run/env-runner/big"]
)
async def test_it_fills_its_disk_wherever_it_writes(strict: Site, path: str) -> None:
    ran = await strict.run(strict.payload(FILLS, path, resources={"disk": "8MiB"}))
    assert ran.stdout == "ENOSPC\n", ran.output.stderr
    assert ran.task.failure.reason == v1.FAILURE_REASON_LIMIT, ran.task.failure.message
