"""The contract: its stubs are fresh, it is linted, and a change that breaks clients is seen."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
BUF = ROOT / "tools/buf/node_modules/.bin/buf"
PROTO = Path("supervisor/v1/supervisor.proto")


def test_the_committed_stubs_are_what_the_generator_makes_of_the_contract() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/protos.py", "--check"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0


def test_what_the_stubs_ask_for_at_run_time_is_what_the_package_asks_for() -> None:
    rpc = (ROOT / "supervisor/v1/supervisor_pb2_grpc.py").read_text()
    messages = (ROOT / "supervisor/v1/supervisor_pb2.py").read_text()
    grpcio = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", rpc)
    protobuf = re.search(r"Protobuf Python Version: ([\d.]+)", messages)
    assert grpcio is not None
    assert protobuf is not None
    asked = {each.name: each.specifier for each in _requirements()}
    for name, needed in (("grpcio", grpcio[1]), ("protobuf", protobuf[1])):
        (lowest,) = [each for each in asked[name] if each.operator == ">="]
        assert Version(lowest.version) >= Version(needed), name


def _requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(line) for line in project["dependencies"]]


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    """A copy of the contract with its baseline, to be changed."""
    if not BUF.exists():
        if shutil.which("npm") is None:
            pytest.skip("buf is not installed: apt install npm, then tools/contract.sh")
        subprocess.run([ROOT / "tools/contract.sh"], check=True, timeout=300)
    return Path(shutil.copytree(ROOT / "protos", tmp_path / "protos"))


def buf(command: str, *arguments: str, contract: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUF, command, *arguments], cwd=contract, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def test_the_contract_is_linted_and_breaks_no_client(contract: Path) -> None:
    assert buf("lint", contract=contract).stdout == ""
    done = buf("breaking", "--against", "baseline.binpb", contract=contract)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("string runner_id = 1;", "string runner_id = 21;"),
        ("uint64 offset = 4;", "string offset = 4;"),
        ("bool until_done = 6;", ""),
        ("TASK_STATE_CANCELLED = 7;", "TASK_STATE_CANCELED = 7;"),
    ],
    ids=["renumbered", "retyped", "removed", "renamed"],
)
def test_a_change_that_breaks_clients_is_seen(before: str, after: str, contract: Path) -> None:
    text = (contract / PROTO).read_text()
    assert text.count(before) == 1
    (contract / PROTO).write_text(text.replace(before, after))
    done = buf("breaking", "--against", "baseline.binpb", contract=contract)
    assert done.returncode != 0
    assert "supervisor.proto" in done.stdout


def test_a_field_that_is_added_breaks_nobody(contract: Path) -> None:
    text = (contract / PROTO).read_text()
    before = "string runner_id = 1;"
    (contract / PROTO).write_text(text.replace(before, f"{before}\n  string site = 99;"))
    done = buf("breaking", "--against", "baseline.binpb", contract=contract)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_generator_in_use_is_the_one_that_is_pinned() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    for name in ("grpcio-tools", "mypy-protobuf"):
        assert f'"{name}=={importlib.metadata.version(name)}"' in text
