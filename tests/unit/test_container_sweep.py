"""Which containers a sweep removes: its runner's alone, and none for what its image says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine
from runner.executors.container.place import Places
from runner.executors.container.settings import Settings
from runner.executors.container.spec import labels
from runner.executors.container.sweep import Sweep
from tests.support.launches import IMAGE, launch

GONE = "00000000-0000-0000-0000-000000000000 1 1 1"  # of another boot


class Told(Containers):
    """An engine with these containers, each by its name with its labels."""

    def __init__(self, there: dict[str, dict[str, str]]) -> None:
        super().__init__(Engine("docker", "/nowhere"))
        self.there = there

    async def labelled(self, label: str) -> list[dict[str, Any]]:
        key, _, value = label.partition("=")
        return [
            {"Id": name, "Names": [f"/{name}"], "Labels": its, "State": "running", "Created": 0}
            for name, its in self.there.items()
            if its.get(key) == value
        ]

    async def remove(self, container: str, *, force: bool) -> None:
        assert force
        del self.there[container]


def settings(root: Path, owner: str = "", runner: str = "this") -> Settings:
    return Settings("docker", "/nowhere", root, runner, "1:1", owner=owner)


async def test_a_killed_commands_container_goes_and_a_daemons_has_no_owner(
    nothing_is_left: Path,
) -> None:
    daemon = settings(nothing_is_left / "daemon", runner="this")
    other = settings(nothing_is_left / "elsewhere")
    killed = settings(nothing_is_left / "command", GONE)
    anothers = settings(nothing_is_left / "command", GONE, runner="that")
    request = launch()
    (nothing_is_left / "daemon" / request.name).mkdir(parents=True)
    of_image = {"env-runner.owner": GONE, "env-runner.root": str(other.root)}
    image = replace(IMAGE, labels=tuple(of_image))
    made = {
        each.container(request.name): {**of_image, **labels(request, image, each)}
        for each in (daemon, other, killed, anothers)
    }
    containers = Told(dict(made))
    noted: list[str] = []
    sweep = Sweep(
        daemon, containers, Places(daemon.root), lambda event, **_words: noted.append(event)
    )
    assert await sweep.once() == 1
    assert made.keys() - containers.there.keys() == {killed.container(request.name)}
    assert noted == ["container left behind"]
    assert await sweep.once() == 0
    (nothing_is_left / "daemon" / request.name).rmdir()
    (nothing_is_left / "daemon").rmdir()
