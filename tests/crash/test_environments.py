"""A build that is cut off leaves nothing that is taken for an environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.v1 import supervisor_pb2 as v1
from tests.support import keepers, wheels
from tests.support.daemon import Daemon
from tests.support.environments import Site
from tests.support.verdicts import collect, ended
from tests.support.waiting import until

pytestmark = pytest.mark.crash

PROJECT = Path(__file__).parents[2]
WAIT = """open({mark!r}, "a").write("x"); import time
    while not os.path.exists({go!r}): time.sleep(0.01)"""


@pytest.fixture
async def site(nothing_is_left: Path) -> AsyncIterator[Site]:
    """Whose package `slow` is built once there is a file `go`, and marks each start of that."""
    root = Path(tempfile.mkdtemp(dir=nothing_is_left))
    made = Site(root, "none", {"source_builds": True})
    wheels.source(made.house, "slow", "1.0", WAIT.format(mark=str(mark(root)), go=str(root / "go")))
    try:
        await made.ready()
        yield made
    finally:
        await made.close()


def mark(root: Path) -> Path:
    return root / "mark"


def begun(root: Path) -> int:
    return len(mark(root).read_text()) if mark(root).exists() else 0


@contextmanager
def daemon(site: Site, *needed: str, failpoint: str = "") -> Iterator[subprocess.Popen[str]]:
    """Another daemon's process that asks for an environment; it is killed at the end."""
    command = [sys.executable, "-m", "tests.support.environments", str(site.root), failpoint]
    with subprocess.Popen(
        [*command, *needed], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    ) as it:
        try:
            yield it
        finally:
            it.kill()


def left(site: Site) -> list[str]:
    """What is in the store and is no environment's own."""
    places = ("staging", "locks", "builds")
    found = [str(path) for each in places for path in (site.store / each).glob("*")]
    return found + [str(path) for path in site.keeper.glob("environment-*")]


async def test_the_next_daemon_goes_on_with_the_build_of_one_that_was_killed(site: Site) -> None:
    await site.executor.close()
    with daemon(site, "slow"):
        await until(lambda: begun(site.root) == 1, "the build has begun", 60)
    assert site.trees() == []
    site.epoch += 1
    await site.reopen()
    (site.root / "go").touch()
    assert await site.run("import slow; print(slow.X)", "slow") == (0, "from source\n")
    assert begun(site.root) == 1
    assert left(site) == []


async def test_a_build_that_nobody_asks_for_again_is_removed(site: Site) -> None:
    await site.executor.close()
    with daemon(site, "slow"):
        await until(lambda: begun(site.root) == 1, "the build has begun", 60)
    site.epoch += 1
    await site.reopen()
    await site.environments.tidy(after=0.0)
    await until(lambda: not left(site), "nothing of it is left")
    assert site.trees() == []


@pytest.mark.parametrize("failpoint", ["environment_unpacked", "environment_placed"])
async def test_an_environment_that_was_not_recorded_is_none(site: Site, failpoint: str) -> None:
    await site.executor.close()
    with daemon(site, "beta", failpoint=f"{failpoint}:kill") as killed:
        await until(lambda: killed.poll() is not None, "the daemon dies", 60)
    assert killed.returncode == -9
    site.epoch += 1
    await site.reopen()
    assert await site.run("import beta; print(beta.X)", "beta") == (0, "1.0\n")
    [tree] = site.trees()
    assert left(site) == []
    assert tree.stat().st_mode & 0o777 == 0o555


async def test_a_build_whose_keeper_was_killed_is_done_again(site: Site) -> None:
    asked = site.request("true")
    ready = site.ask(asked, "slow")
    await until(lambda: begun(site.root) == 1, "the build has begun", 60)
    await keepers.kill(site.keeper)
    (site.root / "go").touch()
    found = await ready
    assert begun(site.root) == 2
    assert site.trees() == [Path(found.path)]
    site.environments.release(asked.name)
    assert left(site) == []


SCRIPT = "# /// script\n# dependencies = ['slow']\n# ///\nimport slow\nprint(slow.X)\n"


@pytest.mark.parametrize("victims", ["daemon", "keeper", "both"])
async def test_a_task_whose_build_was_cut_off_runs_once_it_is_done(
    nothing_is_left: Path, victims: str
) -> None:
    root = Path(tempfile.mkdtemp(dir=nothing_is_left))
    house = root / "wheels"
    house.mkdir()
    wheels.source(house, "slow", "1.0", WAIT.format(mark=str(mark(root)), go=str(root / "go")))
    settings = {"PYTHON__WHEEL_HOUSES": f'["{house}"]', "PYTHON__SOURCE_BUILDS": "true"}
    (root / "d").mkdir()
    made = Daemon(root / "d", **settings)
    try:
        await made.start()
        async with made.client() as runner:
            await runner.assign({"execution": {"python": {"script": SCRIPT}}}, task_id="t")
            await until(lambda: begun(root) == 1, "the build has begun", 60)
            if victims != "keeper":
                made.kill()
            if victims != "daemon":
                await made.kill_keeper()
            if victims != "keeper":
                await made.start()
            (root / "go").touch()
            task = await ended(runner, "t")
            assert task.state == v1.TASK_STATE_COMPLETED, task.failure
            assert len(task.attempts) == 1
            assert (await collect(runner, "t")).stdout == b"from source\n"
        assert begun(root) == (1 if victims == "daemon" else 2)
        assert len(list((made.state / "environments/trees").glob("*/*"))) == 1
    finally:
        await made.close()
        shutil.rmtree(root)
