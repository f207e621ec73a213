"""The engines of the tests themselves: that they run, and that what is left in them is found."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.engines.engine import Engine
from tests.engines.fixtures import HOSTILE_IMAGE, PYTHON_IMAGE, Own
from tests.engines.process import mount_points, runs
from tests.support import leaks
from tests.support.leaks import Census, Place


def run(engine: Engine, *argv: str, image: str = PYTHON_IMAGE, name: str = "er-test") -> int:
    """Run it in a container; returns the exit code."""
    host = {"NetworkMode": "none"}
    about = {"Image": image, "Cmd": list(argv), "HostConfig": host}
    engine.talk.call("POST", "/containers/create", about, name=name)
    engine.talk.call("POST", f"/containers/{name}/start")
    code = engine.talk.call("POST", f"/containers/{name}/wait")["StatusCode"]
    assert isinstance(code, int)
    return code


def test_an_engine_runs_the_hosts_python_in_an_image_made_here(engine: Engine) -> None:
    program = "import ssl, sqlite3, ctypes; raise SystemExit(7)"
    try:
        assert run(engine, "/usr/bin/python3", "-ISc", program) == 7
    finally:
        engine.talk.remove("er-test")


def test_a_hostile_image_says_of_itself_what_it_should_not(engine: Engine) -> None:
    config = engine.talk.call("GET", f"/images/{HOSTILE_IMAGE}/json")["Config"]
    assert config["User"] == "root"
    assert "LD_PRELOAD=/lib/evil.so" in config["Env"]
    assert "/data" in config["Volumes"]
    assert config["Labels"]["hostile"] == "yes"


def test_a_container_and_a_volume_that_are_left_are_found_and_removed(
    engine: Engine, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.0)
    before = Census.take(place)
    assert run(engine, "true", image=HOSTILE_IMAGE) == 0
    left = [line.partition(" ")[0] for line in before.leaks()]
    assert left.count("container") == left.count("volume") == 1
    before.end_leaked()
    assert before._contained() == set()


@pytest.mark.parametrize("kind", ["docker", "podman", "rootless"])
async def test_an_engine_that_was_killed_is_started_again_and_leaves_nothing(
    kind: str, own: Own, nothing_is_left: Path
) -> None:
    engine = own(kind)
    await engine.start()
    await engine.kill()
    await engine.start()
    assert engine.talk.containers() == set()
    processes = [psutil.Process(pid) for pid in engine.own()]
    await engine.close()
    assert not any(map(runs, processes))
    assert not any(mounted.startswith(str(nothing_is_left)) for mounted in mount_points())
