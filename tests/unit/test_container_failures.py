"""What is said of a container that was not made, and of an engine that is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runner.domain.failure import Fault, Reason
from runner.executors.container import failures
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine, Failed, OutOfReach, sentence
from tests.support.launches import launch


def test_a_cancel_blames_neither_the_image_nor_the_engine() -> None:
    failure = failures.given_up()
    assert failure.reason not in ("IMAGE_PULL", "EXECUTOR")
    assert "image" not in failure.message


@pytest.mark.parametrize("name", ["docker", "podman"])
async def test_an_engine_that_is_not_there_is_called_by_its_own_name(
    name: str, nothing_is_left: Path
) -> None:
    engine = Engine(name, str(nothing_is_left / "none"))
    try:
        with pytest.raises(OutOfReach) as raised:
            await Containers(engine).inspect("it")
    finally:
        await engine.close()
    assert str(raised.value).startswith(f"{name} at {nothing_is_left}/none is out of reach: ")
    assert "Docker Engine" not in str(raised.value)


RUNC = (
    "unable to start container process: error during container init: error mounting "
    '"/srv/{0}" to rootfs at "/usr/bin/env": mount /srv/{0}:/usr/bin/env (via '
    "/proc/self/fd/6), flags: 0x5000: {1}"
)
DOCKER_ADDS = (
    ": unknown: Are you trying to mount a directory onto a file (or vice-versa)? Check if the "
    "specified host path exists and is the expected type"
)
PLAN = launch().plan


@pytest.mark.parametrize("path", ["a", "long/" * 60])
@pytest.mark.parametrize("more", ["", DOCKER_ADDS])
def test_a_directory_where_the_image_has_a_file_is_the_tasks_own_fault(
    path: str, more: str
) -> None:
    """The reason stands at the end of what an engine says, however long the paths before it."""
    said = RUNC.format(path, "not a directory") + more
    for failure in (
        failures.of_start(Failed(sentence(said)), "", PLAN),
        failures.of_start(Failed("x"), said, PLAN),
    ):
        assert (failure.reason, failure.fault) == (Reason.START, Fault.TASK)
        assert not failure.retryable
        assert "not a directory" in failure.message


def test_a_workspace_where_the_image_has_a_file_is_the_tasks_own_fault() -> None:
    error = Failed("Cannot mkdir: /usr/bin/env is not a directory")
    assert failures.of_create(error).reason == Reason.START


@pytest.mark.parametrize(
    "why", ["no such file or directory", "read-only file system", "no space left on device"]
)
def test_what_may_be_the_hosts_doing_is_not_taken_for_the_tasks(why: str) -> None:
    failure = failures.of_start(Failed(RUNC.format("a", why)), "", PLAN)
    assert (failure.reason, failure.fault) == (Reason.EXECUTOR, Fault.SYSTEM)
    assert failure.retryable


class Ending(Engine):
    """Refuses a few times, with what Podman says of a container that is just ending."""

    def __init__(self, times: int, words: str) -> None:
        super().__init__("podman", "/nowhere")
        self.times, self.words, self.asked = times, words, 0

    async def call(self, *_: object, **__: object) -> Any:
        self.asked += 1
        if self.asked <= self.times:
            raise Failed(self.words)
        return SimpleNamespace(id="the id")


IMPROPER = "could not be stopped: sending SIGKILL to it: container state improper: stopped"


async def test_one_that_ended_before_it_could_be_killed_is_removed_all_the_same() -> None:
    engine = Ending(2, IMPROPER)
    await Containers(engine).remove("it", force=True)
    assert engine.asked == 3


@pytest.mark.parametrize(("times", "words"), [(1000, IMPROPER), (1, "the disk is full")])
async def test_what_stays_as_it_is_is_told(times: int, words: str) -> None:
    engine = Ending(times, words)
    with pytest.raises(Failed, match=words[:12]):
        await Containers(engine).remove("it", force=True)


async def test_one_whose_users_podman_cannot_read_beside_others_is_created_all_the_same() -> None:
    words = "keep-id requires additional UIDs or GIDs defined in /etc/subuid and /etc/subgid"
    body = {"HostConfig": {"UsernsMode": "keep-id"}}
    engine = Ending(2, words)
    assert await Containers(engine).create("it", body) == "the id"
    with pytest.raises(Failed, match="keep-id"):
        await Containers(Ending(1000, words)).create("it", body)
    with pytest.raises(Failed, match="the disk is full"):
        await Containers(Ending(1, "the disk is full")).create("it", {})


class Counting(Ending):
    """Which says how many were asked of it at once, at most."""

    def __init__(self) -> None:
        super().__init__(0, "")
        self.now = self.most = 0

    async def call(self, *_: object, **__: object) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0)
        self.now -= 1
        return await super().call()


@pytest.mark.parametrize(("mode", "most"), [("keep-id", 1), ("host", 5)])
async def test_rootless_podman_makes_one_container_at_a_time(mode: str, most: int) -> None:
    engine = Counting()
    containers, body = Containers(engine), {"HostConfig": {"UsernsMode": mode}}
    await asyncio.gather(*(containers.create("it", body) for _ in range(5)))
    assert engine.most == most
