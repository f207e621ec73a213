"""Where a client looks for its runner."""

from __future__ import annotations

from pathlib import Path

import pytest

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


def test_the_systems_socket_is_named_where_there_is_none(system: Path) -> None:
    assert resolve(None, {}, system) == f"unix:{system}"


def test_a_directory_closed_to_this_user_is_passed_over(tmp_path: Path) -> None:
    user = socket(tmp_path / "env-runner" / "supervisor.sock")

    class Closed(type(Path())):  # type: ignore[misc] # what root, who runs tests, never meets
        def exists(self) -> bool:
            raise PermissionError(13, "Permission denied", str(self))

    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    assert resolve(None, environment, Closed("/closed/supervisor.sock")) == f"unix:{user}"
