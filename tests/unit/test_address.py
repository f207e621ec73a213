"""Where a client looks for its runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import places
from supervisor.address import resolve


@pytest.fixture
def system(tmp_path: Path) -> Path:
    return tmp_path / "run" / "supervisor.sock"


def socket(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_what_is_asked_for_comes_before_the_variable(system: Path) -> None:
    environment = {"ENV_RUNNER_ADDRESS": "127.0.0.1:50051"}
    assert resolve("/a/socket", environment, system) == "unix:/a/socket"
    assert resolve(None, environment, system) == "127.0.0.1:50051"


def test_the_systems_socket_comes_before_the_users(system: Path, tmp_path: Path) -> None:
    user = socket(tmp_path / "env-runner" / "supervisor.sock")
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert resolve(None, environment, system) == f"unix:{user}"
    socket(system)
    assert resolve(None, environment, system) == f"unix:{system}"


def test_a_socket_in_the_users_state_is_looked_for_last(system: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path / "home")}
    state = socket(tmp_path / "home/.local/state/env-runner/run/supervisor.sock")
    assert resolve(None, home, system) == f"unix:{state}"
    both = {**home, "XDG_RUNTIME_DIR": str(tmp_path / "session")}
    assert resolve(None, both, system) == f"unix:{state}"
    session = socket(tmp_path / "session/env-runner/supervisor.sock")
    assert resolve(None, both, system) == f"unix:{session}"
    socket(system)
    assert resolve(None, both, system) == f"unix:{system}"


@pytest.mark.parametrize("session", ["", "session", "relative"])
@pytest.mark.parametrize("state", ["", "state", "relative"])
def test_a_users_client_looks_where_a_users_daemon_listens(
    session: str, state: str, system: Path, tmp_path: Path
) -> None:
    environment = {"HOME": str(tmp_path / "home")}
    for name, value in (("XDG_RUNTIME_DIR", session), ("XDG_STATE_HOME", state)):
        if value:
            environment[name] = value if value == "relative" else str(tmp_path / value)
    listens = places.runtime_directory(environment, root=False) / places.SOCKET
    assert resolve(None, environment, system) == f"unix:{system}"
    socket(listens)
    assert resolve(None, environment, system) == f"unix:{listens}"


def test_the_systems_socket_is_named_where_there_is_none(system: Path) -> None:
    assert resolve(None, {}, system) == f"unix:{system}"


def test_a_directory_closed_to_this_user_is_passed_over(tmp_path: Path) -> None:
    user = socket(tmp_path / "env-runner" / "supervisor.sock")

    class Closed(type(Path())):  # type: ignore[misc] # what root, who runs tests, never meets
        def exists(self) -> bool:
            raise PermissionError(13, "Permission denied", str(self))

    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert resolve(None, environment, Closed("/closed/supervisor.sock")) == f"unix:{user}"
