"""The executor's end of the link: many requests at once, and descriptors that go to their own."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import TaskClass
from runner.executors.local import LocalExecutor
from runner.executors.local import executor as executor_module
from runner.executors.local.link import KeeperRefused
from runner.keeper.messages import encode
from runner.ports import Launch
from tests.support import keepers
from tests.support.keepers import NO_SANDBOX
from tests.support.waiting import until

LIMITS = Limits(60.0, None, 1.0, 1.0, 0, 0, 0, 1 << 20)


@pytest.fixture
async def executor(home: Path) -> AsyncIterator[LocalExecutor]:
    executor = LocalExecutor(home / "root", epoch=1, **NO_SANDBOX)
    yield executor
    await executor.close()
    await keepers.end(home / "root")


def request(name: str, script: str, stdin: bytes | None = None) -> Launch:
    plan = Plan(Mode.NATIVE, "local", ("sh", "-c", script), LIMITS)
    return Launch(name, f"task-{name}", 1, TaskClass.CPU_SHORT, plan, {}, "", stdin)


async def test_each_of_many_launches_at_once_gets_its_own_stdin(executor: LocalExecutor) -> None:
    async def run(number: int) -> bytes:
        # some have none, some have more than a frame's worth of other requests around them
        stdin = None if number % 3 == 0 else b"%d" % number
        padding = "x" * (number % 7 * 5000)
        launch = request(f"t{number}", f": {padding}; cat", stdin)
        started = await executor.launch(launch)
        assert (await executor.wait(started.handle)).code == 0
        return (executor.directory(launch.name) / "stdout").read_bytes()

    outputs = await asyncio.gather(*map(run, range(60)))
    assert outputs == [b"" if n % 3 == 0 else b"%d" % n for n in range(60)]


async def test_each_of_many_answers_at_once_has_its_own_file(executor: LocalExecutor) -> None:
    started = await executor.launch(request("a", "for i in $(seq 40); do echo $i > $i; done"))
    await executor.wait(started.handle)

    async def read(number: int) -> bytes:
        if number > 40:
            with pytest.raises(KeeperRefused, match="No such file"):
                await executor.open_file("a", str(number))
            return b""
        file = await executor.open_file("a", str(number))
        try:
            return os.read(file, 100)
        finally:
            os.close(file)

    numbers = [1 + n * 7 % 80 for n in range(80)]
    contents = await asyncio.gather(*map(read, numbers))
    assert contents == [b"%d\n" % n if n <= 40 else b"" for n in numbers]


async def test_a_reload_in_the_midst_of_many_launches_loses_and_doubles_none(
    executor: LocalExecutor, home: Path
) -> None:
    marker = home / "marker"

    async def run(number: int) -> int | None:
        launch = request(f"t{number}", f"echo {number} >> {marker}; exit {number}", b"x")
        started = await executor.launch(launch)
        return (await executor.wait(started.handle)).code

    await executor.probe()
    pid = executor.keeper_pid
    assert pid is not None
    runs = [asyncio.create_task(run(number)) for number in range(60)]
    for finished in range(0, 60, 20):
        os.kill(pid, signal.SIGHUP)
        await until(lambda n=finished: sum(map(asyncio.Task.done, runs)) > n, "some have ended")
    assert await asyncio.gather(*runs) == list(range(60))
    assert sorted(map(int, marker.read_text().split())) == list(range(60))


async def test_a_launch_beside_which_the_keeper_hung_up_is_found_and_not_said_to_have_failed(
    executor: LocalExecutor, home: Path
) -> None:
    await executor.probe()
    link = executor._session._link
    assert link is not None
    marker, go_on = home / "marker", home / "go on"
    script = f"echo x >> {marker}; while [ ! -e '{go_on}' ]; do sleep 0.01; done; exit 3"
    plan = replace(request("a", script).plan, level="none")  # so that nothing else is asked for
    launch = replace(request("a", script), plan=plan)
    launching = asyncio.create_task(executor.launch(launch))
    for _ in range(20):  # turns of the loop: it is asked for, and not answered yet
        if not link._answers:
            await asyncio.sleep(0)
    assert link._answers
    with (home / "file").open("x") as file:  # that nothing asks it to take
        frame = encode({"type": "seen", "name": "b", "id": 0})
        socket.send_fds(link._sock, [frame], [file.fileno()])
    started = await launching
    await until(lambda: executor._session._link not in (None, link), "it hung up")
    go_on.touch()
    assert (await executor.wait(started.handle)).code == 3
    assert marker.read_text() == "x\n"


async def test_an_end_whose_record_is_damaged_is_lost(executor: LocalExecutor) -> None:
    launch = request("a", "exit 3")
    started = await executor.launch(launch)
    await executor.wait(started.handle)
    path = executor.directory("a").parent / "exit.json"
    path.write_bytes(path.read_bytes()[:50])
    assert await executor.adopt(launch) is not None
    assert "damaged" in (await executor.wait(started.handle)).lost
    again = await executor.launch(launch)
    assert "damaged" in (await executor.wait(again.handle)).lost


async def test_no_keeper_and_none_to_be_started_is_said(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "_PROBE_PATIENCE", 0.5)
    executor = LocalExecutor(home / "none", start_keeper=False)
    readiness = await executor.probe()
    assert not readiness.ready
    assert "No such file" in readiness.problem
    await executor.close()


async def test_a_keeper_that_cannot_start_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor_module, "_PROBE_PATIENCE", 2.0)  # it has to start first
    executor = LocalExecutor(home / "root", keeper_options=("--allow-users", "no such user"))
    readiness = await executor.probe()
    assert not readiness.ready
    assert "there is no user 'no such user' here" in readiness.problem
    await executor.close()


async def test_a_socket_may_lie_deep(home: Path) -> None:
    root = home / ("deep" * 20) / ("er" * 40) / "root"
    executor = LocalExecutor(root, **NO_SANDBOX)
    assert (await executor.probe()).ready
    await executor.close()
    await keepers.end(root)


async def connected(home: Path, epoch: int, *options: str) -> tuple[LocalExecutor, list[str]]:
    """A daemon that starts a keeper with such options where there is none, and what it noted."""
    notes = list[str]()
    made = LocalExecutor(
        home / "root",
        epoch=epoch,
        sandbox="none",
        keeper_options=("--allow-none", *options),
        note=lambda event, **_: notes.append(event),
    )
    assert (await made.probe()).ready
    return made, notes


@pytest.mark.root
async def test_a_keeper_that_may_not_mount_what_is_configured_by_now_is_replaced_if_idle(
    home: Path,
) -> None:
    try:
        first, _ = await connected(home, 1, "--mounts", "/srv/a")
        [old] = keepers.find(home / "root")
        await first.close()
        second, notes = await connected(home, 2, "--mounts", "/srv/a,/srv/b")
        [new] = keepers.find(home / "root")
        assert old.pid != new.pid
        assert notes[-1] == "keeper connected"
        await second.close()
        third, _ = await connected(home, 3, "--mounts", "/srv/b")
        assert [each.pid for each in keepers.find(home / "root")] == [new.pid]
        await third.close()
    finally:
        await keepers.end(home / "root")


@pytest.mark.root
async def test_a_keeper_that_may_not_mount_what_is_configured_and_runs_something_is_told(
    home: Path,
) -> None:
    try:
        first, _ = await connected(home, 1)
        await first.launch(request("a", "read line"))
        await first.close()
        second, notes = await connected(home, 2, "--mounts", "/srv/b")
        assert notes == ["keeper may not mount", "keeper connected"]
        assert second.said().ready
        await second.close()
    finally:
        await keepers.end(home / "root")
