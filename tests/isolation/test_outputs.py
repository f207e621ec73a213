"""What a task leaves as its outputs is data, whatever it is: only plain files of its own are kept,
nothing is followed, nothing hangs, and the runner goes on. Sized disks alone are copied from."""

from __future__ import annotations

from pathlib import Path

import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support.hostile import Ran, Site

LEAVES = r"""
import os, socket
os.mkdir("out")
task = os.path.dirname(os.environ["ENV_RUNNER_RESULT"])
os.symlink("/etc/shadow", "out/link")
os.symlink("/etc", "out/directory-link")
os.symlink("../good", "out/link-within")
os.symlink("loop", "out/loop")
os.mkfifo("out/fifo")
at = socket.socket(socket.AF_UNIX)
at.bind("out/socket")
with open("good", "w") as file:
    file.write("good")
os.link("good", "out/hard-link")
with open("out/sparse", "w") as file:
    file.truncate(1 << 40)
with open("out/good", "w") as file:
    file.write("good")
for name in (b"out/\xff", b"out/a line\nand another"):
    with open(name, "w") as file:
        file.write("good")
os.mkdir("out/closed", 0)
os.mkdir("out/deep")
directory = os.open("out/deep", os.O_RDONLY)
for _ in range(1200):
    os.mkdir("d", dir_fd=directory)
    below = os.open("d", os.O_RDONLY, dir_fd=directory)
    os.close(directory)
    directory = below
os.symlink("/etc/shadow", os.environ["ENV_RUNNER_RESULT"])
os.mkfifo(os.environ["ENV_RUNNER_PROGRESS"])
print("left", flush=True)
"""


@pytest.fixture(scope="session", params=["strict", "standard"])
def sized(request: pytest.FixtureRequest) -> Site:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Site)
    return made


def payload(site: Site, *outputs: str) -> dict[str, object]:
    made = site.payload(LEAVES, resources={"disk": "64MiB"})
    return {**made, "artifacts": {"outputs": [{"path": path} for path in outputs]}}


async def kept(site: Site, ran: Ran) -> tuple[Path, set[bytes]]:
    """Where it is kept, and the plain files there."""
    assert ran.stdout == "left\n", ran.output.stderr.decode()[-500:]
    return files(site.daemon.state / "keeper" / site.name_of(ran.task.task_id) / "kept")


def files(directory: Path) -> tuple[Path, set[bytes]]:
    paths = [path for path in directory.rglob("*") if not path.is_dir() or path.is_symlink()]
    assert all(path.is_file() and not path.is_symlink() for path in paths), paths
    return directory, {bytes(path.relative_to(directory)) for path in paths}


@pytest.mark.parametrize("pattern", ["out", "out/*", "**"])
async def test_only_plain_files_of_its_own_are_kept(sized: Site, pattern: str) -> None:
    """B12, B13, B14; and none whose name is no UTF-8, which could not be told."""
    async with sized.neighbour():
        ran = await sized.run(payload(sized, pattern))
        directory, found = await kept(sized, ran)
    assert ran.task.failure.reason == v1.FAILURE_REASON_OUTPUT  # the tree is deeper than is kept
    assert ran.task.failure.fault == v1.FAULT_TASK
    plain = {b"workspace/out/good", b"workspace/out/a line\nand another"}
    assert found == {*plain, b"notes"}  # the last says what was not looked through
    assert (directory / "workspace/out/good").read_text() == "good"
    assert (await sized.run(sized.payload("print('served')"))).stdout == "served\n"


async def test_where_no_outputs_are_declared_none_are_kept(sized: Site) -> None:
    ran = await sized.run(payload(sized))
    _, found = await kept(sized, ran)
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    assert found == {b"notes"}  # why it has no result and no progress
    assert sorted(ran.task.warnings) == [
        "its result was not taken: a link is in its way, or it leads out of the directory",
        "some of its progress was not taken: it is not a regular file",
    ]


FORGES = """
import os
os.makedirs("out")
for number in range(4000):
    with open(f"out/{number}", "w") as file:
        file.truncate(64 << 20)
with open("out/last", "w") as file:
    file.write("good")
"""


async def test_holes_cost_nothing(sized: Site) -> None:
    """Thousands of files, each as large as the disk, and none with anything in it."""
    made = sized.payload(FORGES, resources={"disk": "64MiB"})
    ran = await sized.run({**made, "artifacts": {"outputs": [{"path": "out"}]}})
    assert ran.task.state == v1.TASK_STATE_COMPLETED, ran.task.failure.message
    directory, found = files(
        sized.daemon.state / "keeper" / sized.name_of(ran.task.task_id) / "kept"
    )
    assert len(found) == 4001
    blocks = sum((directory / path.decode()).stat().st_blocks for path in found)
    assert blocks * 512 < 64 << 20
