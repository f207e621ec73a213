"""Engines that are killed, restarted or hang under their containers, and containers that go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.engines.dockerd import Dockerd
from tests.engines.engine import Engine, Private
from tests.engines.fixtures import PYTHON_IMAGE, Images, Own
from tests.engines.proxy import Proxy
from tests.support.containers import counting, daemon_on, kept, pids, running
from tests.support.daemon import Daemon
from tests.support.outputs import summary
from tests.support.programs import Count
from tests.support.verdicts import collect, ended, history, once_each, went_well
from tests.support.waiting import until

EXECUTOR, LOST = v1.FAILURE_REASON_EXECUTOR, v1.FAILURE_REASON_LOST
SLOW = Count("slow", 20_000, 7, block=100, pause=0.1)  # until it is to hurry


@pytest.fixture
async def mine(request: pytest.FixtureRequest, own: Own, images: Images) -> Private:
    """An engine of one test, started."""
    kind, _, way = request.param.partition(" ")
    engine = own(kind)
    if isinstance(engine, Dockerd):
        engine.live_restore = way == "live-restore"
        engine.activated = way == "activated"
    await engine.start()
    await asyncio.to_thread(engine.load, images.python, PYTHON_IMAGE)
    return engine


@pytest.fixture
async def daemon(mine: Engine, nothing_is_left: Path) -> AsyncIterator[Daemon]:
    made = daemon_on(mine, nothing_is_left / "d")
    yield made
    print(made.tail(20_000))  # noqa: T201 - shown where the test failed
    await made.close()
    for name in mine.talk.containers() if mine.talk.answers() else ():
        mine.talk.remove(name)


@pytest.fixture
async def began(daemon: Daemon, runner: Supervisor) -> None:
    """The slow task runs."""
    await daemon.start()
    await runner.assign(counting(SLOW, daemon), task_id="slow")
    try:
        await until(lambda: daemon.starts("slow") == 1, "it runs")
    except AssertionError as late:
        raise AssertionError(f"{late}\n{daemon.tail()}") from None


async def went_on(runner: Supervisor, daemon: Daemon) -> None:
    """What the slow task prints is read again; then it ends soon, and as it should."""
    before = kept(daemon)
    await until(lambda: kept(daemon) > before, "more of it is kept")
    SLOW.hurry(daemon.markers)
    await went_well(runner, daemon, SLOW)


SURVIVING = ["docker live-restore", "podman"]


@pytest.mark.parametrize("mine", SURVIVING, indirect=True)
@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_a_container_goes_on_through_a_restart_of_its_engine(
    mine: Private, daemon: Daemon, runner: Supervisor, began: None, how: str
) -> None:
    """F14: its output is whole."""
    before = pids(mine)
    await (mine.kill() if how == "kill" else mine.stop())
    assert (await runner.get("slow")).state == v1.TASK_STATE_RUNNING
    await mine.start()
    assert pids(mine) == before
    await went_on(runner, daemon)
    once_each(await history(runner, "slow"))
    await until(lambda: not mine.talk.containers(), "it is removed")


@pytest.mark.parametrize("mine", ["docker", "docker activated"], indirect=True)
async def test_without_live_restore_a_stop_of_the_engine_is_the_executors_failure(
    mine: Private, daemon: Daemon, runner: Supervisor, began: None
) -> None:
    """F14."""
    await mine.stop()
    await mine.start()
    task = await ended(runner, "slow")
    assert (task.failure.reason, task.failure.retryable) == (EXECUTOR, True), task.failure.message
    assert task.failure.fault == v1.FAULT_SYSTEM
    assert daemon.starts("slow") == 1
    await until(lambda: not mine.talk.containers(), "it is removed")


@pytest.mark.parametrize("mine", ["docker"], indirect=True)
async def test_after_such_a_stop_it_is_tried_again_where_that_was_asked_for(
    mine: Private, daemon: Daemon, runner: Supervisor
) -> None:
    """F14."""
    await daemon.start()
    payload = counting(SLOW, daemon)
    payload["execution"]["retry"] = {"on": ["EXECUTOR"], "initial_backoff": "100ms"}
    await runner.assign(payload, task_id="slow")
    await until(lambda: daemon.starts("slow") == 1, "it runs")
    await mine.stop()
    await mine.start()
    await until(lambda: daemon.starts("slow") == 2, "it runs again")
    SLOW.hurry(daemon.markers)
    task = await ended(runner, "slow")
    assert [each.failure.reason for each in task.attempts] == [
        EXECUTOR,
        v1.FAILURE_REASON_EXIT_CODE,
    ]
    assert daemon.starts("slow") == 2


@pytest.mark.parametrize("mine", ["docker"], indirect=True)
async def test_a_kill_of_an_engine_without_live_restore_leaves_no_task_running_for_ever(
    mine: Private, daemon: Daemon, runner: Supervisor, began: None
) -> None:
    await mine.kill()
    await mine.start()
    task = await ended(runner, "slow")
    assert (task.failure.reason, task.failure.retryable) == (EXECUTOR, True), task.failure.message


# to be asked to end is a reason to end with any code
ASKED = {f"code-{code}": f"trap 'exit {code}' TERM; {{}}" for code in (0, 3, 130)}
UNTIL_GO = "echo x >> /markers/$0; while [ ! -e /markers/go ]; do sleep 0.05; done; exit {}"


async def waiting(daemon: Daemon, runner: Supervisor, **ends: str) -> None:
    """Tasks that run until there is a file, and `ends`, by their ids; each is a shell's program
    around such a wait."""
    mount = {"source": str(daemon.markers), "target": "/markers", "read_only": False}
    for task_id, text in ends.items():
        command = ["sh", "-c", text, task_id]
        retry = {"on": ["EXECUTOR"], "initial_backoff": "100ms"}
        await runner.assign(running(command, mounts=[mount], retry=retry), task_id=task_id)
    await until(lambda: all(daemon.starts(each) == 1 for each in ends), "they run")


@pytest.mark.parametrize("mine", ["docker"], indirect=True)
@pytest.mark.parametrize("watched", [True, False])
async def test_whatever_a_task_ends_with_as_its_engine_stops_the_engine_ended_it(
    mine: Private, daemon: Daemon, runner: Supervisor, *, watched: bool
) -> None:
    """F14, also where the daemon is away meanwhile."""
    await daemon.start()
    tasks = {each: text.format(UNTIL_GO.format(7)) for each, text in ASKED.items()}
    await waiting(daemon, runner, **tasks)
    if not watched:
        daemon.kill()
    await mine.stop()
    (daemon.markers / "go").touch()  # they end well at the second try
    await mine.start()
    if not watched:
        await daemon.start()
    for each in tasks:
        task = await ended(runner, each)
        reasons = [attempt.failure.reason for attempt in task.attempts]
        assert reasons == [EXECUTOR, v1.FAILURE_REASON_EXIT_CODE], task.attempts[0].failure.message


@pytest.mark.parametrize("mine", ["docker live-restore"], indirect=True)
async def test_what_a_container_wrote_and_ended_while_its_engine_was_away_is_a_gap(
    mine: Private, daemon: Daemon, runner: Supervisor
) -> None:
    """F14: Docker reads it no more, so that nothing of it is anywhere."""
    await daemon.start()
    await waiting(daemon, runner, it=f"echo early; ({UNTIL_GO.format(0)}); echo late; exit 3")
    of = (daemon.state / "containers").glob
    await until(lambda: any(summary(each).stdout_bytes for each in of("*/output")), "it is read")
    (pid,) = pids(mine).values()
    await mine.kill()
    (daemon.markers / "go").touch()
    await until(lambda: not psutil.pid_exists(pid), "it has ended")
    await mine.start()
    assert (await ended(runner, "it")).attempts[0].exit_code == 3
    output = await collect(runner, "it")
    assert output.stdout == b"early\n"
    assert output.gap is not None
    assert "away" in output.gap.cause
    assert output.end is not None
    assert output.end.truncated


@pytest.mark.parametrize("mine", ["docker"], indirect=True)
async def test_connections_that_are_lost_while_a_task_ends_say_nothing_of_its_end(
    mine: Private, daemon: Daemon, runner: Supervisor, nothing_is_left: Path
) -> None:
    """A proxy goes, and the engine does not."""
    proxy = Proxy(nothing_is_left / "proxy", mine.socket)
    await proxy.open()
    daemon.settings["EXECUTORS__DOCKER__URL"] = f"unix://{proxy.path}"
    try:
        await daemon.start()
        await waiting(daemon, runner, good=UNTIL_GO.format(0), bad=UNTIL_GO.format(3))
        proxy.drop()
        (daemon.markers / "go").touch()
        await until(lambda: not pids(mine), "both have ended")
        await proxy.open()
        assert (await ended(runner, "good")).state == v1.TASK_STATE_COMPLETED
        bad = await ended(runner, "bad")
        assert [each.exit_code for each in bad.attempts] == [3]
        assert daemon.starts("good") == daemon.starts("bad") == 1
    finally:
        await daemon.close()
        proxy.drop()


@pytest.mark.parametrize("mine", SURVIVING, indirect=True)
async def test_daemon_and_engine_killed_together_lose_nothing(
    mine: Private, daemon: Daemon, runner: Supervisor, began: None
) -> None:
    daemon.kill()
    await mine.kill()
    async with asyncio.TaskGroup() as both:
        both.create_task(daemon.start())
        both.create_task(mine.start())
    await went_on(runner, daemon)


@pytest.mark.parametrize("mine", SURVIVING, indirect=True)
async def test_a_task_that_is_to_end_while_its_engine_is_away_ends_when_that_is_back(
    mine: Private, daemon: Daemon, runner: Supervisor
) -> None:
    await daemon.start()
    await runner.assign(running(["sleep", "1000"], resources={"grace": "1s"}), task_id="long")

    async def runs() -> bool:
        return (await runner.get("long")).state == v1.TASK_STATE_RUNNING

    await until(runs, "it runs")
    await mine.kill()
    await runner.cancel("long")
    assert await runs()
    await mine.start()
    assert (await ended(runner, "long")).state == v1.TASK_STATE_CANCELLED
    await until(lambda: not mine.talk.containers(), "it is removed")


@pytest.mark.parametrize("mine", ["docker live-restore"], indirect=True)
async def test_an_engine_that_hangs_holds_up_no_answer_and_loses_nothing(
    mine: Private, daemon: Daemon, runner: Supervisor, began: None
) -> None:
    with mine.frozen():
        task = await runner.get("slow")
        assert task.state == v1.TASK_STATE_RUNNING
        await runner.assign({"execution": {"command": ["true"]}}, task_id="local")
        assert (await ended(runner, "local")).state == v1.TASK_STATE_COMPLETED
    await went_on(runner, daemon)


async def test_a_container_of_podmans_that_is_asked_to_end_and_removed_is_lost(
    podman: Engine, nothing_is_left: Path
) -> None:
    """F15, whatever it ended with."""
    daemon = daemon_on(podman, nothing_is_left / "p")
    try:
        await daemon.start()
        async with daemon.client() as runner:
            await waiting(daemon, runner, well=ASKED["code-0"].format(UNTIL_GO.format(7)))
            (name,) = podman.talk.containers()
            removal = f"/v4.0.0/libpod/containers/{name}"
            await asyncio.to_thread(podman.talk.call, "DELETE", removal, force="true", timeout="30")
            task = await ended(runner, "well")
            assert task.failure.reason == LOST, task.failure.message
            assert daemon.starts("well") == 1
    finally:
        await daemon.close()


class TestOnBoth:
    """On engines that many tests share."""

    @pytest.fixture
    def mine(self, engine: Engine) -> Engine:
        return engine

    async def test_a_container_that_is_removed_by_others_is_lost(
        self, mine: Engine, daemon: Daemon, runner: Supervisor, began: None
    ) -> None:
        """F15."""
        for name in mine.talk.containers():
            await asyncio.to_thread(mine.talk.remove, name)
        task = await asyncio.wait_for(ended(runner, "slow"), 50)
        assert (task.state, task.failure.reason) == (v1.TASK_STATE_FAILED, LOST)
        (attempt,) = task.attempts
        assert not attempt.HasField("exit_code")
        assert attempt.signal == 0
        assert daemon.starts("slow") == 1
        await runner.assign(running(["true"]), task_id="next")
        assert (await ended(runner, "next")).state == v1.TASK_STATE_COMPLETED

    async def test_a_container_that_is_started_again_by_others_is_lost(
        self, mine: Engine, daemon: Daemon, runner: Supervisor
    ) -> None:
        """The second run is not the task's, whoever watched the first one."""
        await daemon.start()
        await waiting(daemon, runner, twice=UNTIL_GO.format(0))

        async def recorded() -> bool:
            return (await runner.get("twice")).state == v1.TASK_STATE_RUNNING

        await until(recorded, "when it was started is on disk")
        (name,) = mine.talk.containers()
        daemon.kill()
        mine.talk.call("POST", f"/containers/{name}/restart", t=0)
        await daemon.start()
        task = await ended(runner, "twice")
        assert task.failure.reason == LOST
        assert "started again" in task.failure.message
        await until(lambda: not mine.talk.containers(), "it is removed")

    async def test_a_container_that_others_end_is_told_by_its_signal(
        self, mine: Engine, daemon: Daemon, runner: Supervisor, began: None
    ) -> None:
        """An engine that ends what it runs when it stops does the same."""
        for name in mine.talk.containers():
            mine.talk.call("POST", f"/containers/{name}/kill", signal="KILL")
        task = await ended(runner, "slow")
        assert task.failure.reason == v1.FAILURE_REASON_SIGNAL, task.failure.message
        assert task.attempts[0].signal == signal.SIGKILL

    async def test_a_container_that_is_renamed_is_still_the_tasks(
        self, mine: Engine, daemon: Daemon, runner: Supervisor, began: None
    ) -> None:
        (name,) = mine.talk.containers()
        mine.talk.call("POST", f"/containers/{name}/rename", name="er-somebodys")
        await went_on(runner, daemon)
        await until(lambda: not mine.talk.containers(), "it is removed")

    async def test_a_container_that_is_paused_can_be_cancelled(
        self, mine: Engine, daemon: Daemon, runner: Supervisor, began: None
    ) -> None:
        (name,) = mine.talk.containers()
        mine.talk.call("POST", f"/containers/{name}/pause")
        await runner.cancel("slow", grace=30.0)
        task = await ended(runner, "slow")
        assert task.state == v1.TASK_STATE_CANCELLED
        assert task.attempts[0].signal == signal.SIGTERM, "it went on, to be able to end"
        await until(lambda: not mine.talk.containers(), "it is removed")

    async def test_what_an_earlier_life_left_is_removed_and_nothing_of_others(
        self, mine: Engine, daemon: Daemon, runner: Supervisor
    ) -> None:
        """F16."""
        daemon.settings["RUNNER__ID"] = "this"
        kind = "DOCKER" if mine.kind == "docker" else "PODMAN"
        daemon.settings[f"EXECUTORS__{kind}__LEFTOVERS_AFTER"] = "0s"
        await daemon.start()
        await runner.assign(running(["sleep", "1000"]), task_id="kept")
        await until(lambda: len(pids(mine)) == 1, "it runs")
        (name,) = mine.talk.containers()
        labels = mine.talk.call("GET", f"/containers/{name}/json")["Config"]["Labels"]
        own = {key: value for key, value in labels.items() if key.startswith("env-runner.")}
        handle = own["env-runner.name"]
        old = handle.replace(handle[3:9], "0" * 6)
        create(mine, name.replace(handle, old), own | {"env-runner.name": old})
        others = {
            name.replace(handle, old).replace("-1-", "-2-"): {},
            "er-other": own | {"env-runner.runner": "that", "env-runner.name": old},
            "hand-made": own,
        }
        for other, its in others.items():
            create(mine, other, its)
        daemon.kill()
        await daemon.start()
        await until(
            lambda: name.replace(handle, old) not in mine.talk.containers(), "the old one goes", 90
        )
        assert mine.talk.containers() == {name, *others}
        await runner.cancel("kept", grace=0.0)
        await ended(runner, "kept")
        for other in others:
            mine.talk.remove(other)


def create(engine: Engine, name: str, labels: dict[str, str]) -> None:
    about = {"Image": PYTHON_IMAGE, "Cmd": ["true"], "Labels": labels}
    engine.talk.call("POST", "/containers/create", about, name=name)
