"""Daemons at each level of isolation, started once for all tests of this directory.

As root: then tasks have users of their own, which is how env-runner is installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.daemon import Daemon
from tests.support.hostile import Make, Site, Sites
from tests.support.leaks import Place

GENEROUS = {
    "CLASSES__CPU_SHORT__DEFAULTS__DISK": "16MiB",
    "POLICY__NETWORKS": '["none", "host"]',
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker("root")
            item.add_marker(pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root"))


@pytest.fixture(scope="session")
def make_site(place: Place) -> Iterator[Make]:
    """Makes daemons that live as long as all tests of this process."""
    made: list[Daemon] = []

    def make(name: str, level: str, **settings: str) -> Site:
        root = place.directory / name
        root.mkdir()
        daemon = Daemon(root, **GENEROUS, EXECUTORS__LOCAL__SANDBOX=level, **settings)
        made.append(daemon)
        asyncio.run(daemon.start())
        return Site(level, daemon)

    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [asyncio.run(daemon.close()) for daemon in made])
        yield make


@pytest.fixture(scope="session")
def none(make_site: Make) -> Site:
    return make_site("iso-none", "none")


@pytest.fixture(scope="session")
def strict(make_site: Make) -> Site:
    """Nothing is tried in it before it is seen that it is a sandbox at all."""
    if shutil.which("bwrap") is None:
        pytest.skip("bwrap is not there; its package is bubblewrap")
    site = make_site("iso-strict", "strict")
    seen = asyncio.run(site.attack(STANDS))
    own = str(Path("/proc/self/ns/pid").readlink())
    if not seen.worked or own in seen.got:
        pytest.fail(f"strict is configured, and tasks are in no sandbox: {seen.got}")
    return site


@pytest.fixture(scope="session")
def standard(make_site: Make) -> Site:
    return make_site("iso-standard", "standard")


LEVELS = ("strict", "standard", "none")


@pytest.fixture(scope="session", params=LEVELS)
def site(request: pytest.FixtureRequest) -> Site:
    """At each level in turn."""
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Site)
    return made


STANDS = """
def attack():
    return os.getuid() and os.readlink("/proc/self/ns/pid")
"""


@pytest.fixture(scope="session")
def sites(request: pytest.FixtureRequest, none: Site) -> Sites:
    return Sites(none, request.getfixturevalue("strict"))
