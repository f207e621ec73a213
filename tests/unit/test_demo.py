"""What the demonstration looks for on a host."""

from __future__ import annotations

import importlib
import socket
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "demo"


def test_a_socket_that_an_engine_left_behind_is_no_engine(
    nothing_is_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(DEMO)
    contained = importlib.import_module("contained")
    path = nothing_is_left / "engine.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    assert contained.engine() is None
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert contained.engine() is None
        listening.listen()
        assert contained.engine() == ("docker", f"unix://{path}")
    assert contained.engine() is None
    path.unlink()
