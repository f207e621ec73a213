"""The guards against leaks, where there are engines: what a test leaves in one of them."""

from __future__ import annotations

import pytest

from tests.engines.engine import Engine
from tests.engines.fixtures import BOTH, PYTHON_IMAGE, ROOTLESS
from tests.support import leaks
from tests.support.leaks import Census, Place


@pytest.mark.parametrize("kind", [*BOTH, ROOTLESS])
def test_a_container_and_a_volume_are_found_and_removed(
    request: pytest.FixtureRequest, place: Place, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    engine = request.getfixturevalue(kind)
    assert isinstance(engine, Engine)
    before = Census.take(place)
    assert engine.empty() == engine.private
    monkeypatch.setattr(leaks, "PATIENCE", 0.0)
    for left, path in (("container", "/containers/create"), ("volume", "/volumes/create")):
        about = {"Image": PYTHON_IMAGE, "Cmd": ["true"], "Name": "left"}
        engine.talk.call("POST", path, about, name="left")
        assert before.leaks() == [f"{left} left at {engine.url}"]
        before.end_leaked()
        assert before.leaks() == []
