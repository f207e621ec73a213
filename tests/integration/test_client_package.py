"""The client as an orchestrator installs it: built from this tree, apart from the runner."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

from runner import __version__

ROOT = Path(__file__).parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input")
OF_IT = ("packages", "supervisor", "LICENSE", "runner/__init__.py")

PROGRAM = """
import importlib, importlib.util, pkgutil, supervisor

for each in pkgutil.walk_packages(supervisor.__path__, "supervisor."):
    importlib.import_module(each.name)
assert importlib.util.find_spec("runner") is None
from supervisor.client import Supervisor
print(supervisor.__file__, Supervisor("unix:/s").address)
"""


def pip(*words: str | Path) -> None:
    """Without an index: what is not at hand is not got."""
    done = subprocess.run([*PIP, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made in a copy of the tree, links and all: a build leaves its own directories there."""
    tree = tmp_path_factory.mktemp("tree")
    for name in OF_IT:
        source, target = ROOT / name, tree / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy(source, target)
    words = ("--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", tree / "wheels")
    pip("wheel", *words, tree / "packages/supervisor")
    (made,) = (tree / "wheels").iterdir()
    return made


def declared(path: Path) -> dict[str, str]:
    """What a distribution asks for: a package, and the whole of the requirement."""
    wanted = tomllib.loads(path.read_text())["project"]["dependencies"]
    return {each.partition(">=")[0]: each for each in wanted}


def test_it_asks_for_three_packages_as_the_runner_does_at_the_same_version(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [each for each in archive.namelist() if each.endswith(".dist-info/METADATA")]
        told = Parser().parsestr(archive.read(name).decode())
    assert (told["Name"], told["Version"]) == ("env-runner-supervisor", __version__)
    runners = declared(ROOT / "pyproject.toml")
    wanted = {"grpcio", "protobuf", "googleapis-common-protos"}
    assert declared(ROOT / "packages/supervisor/pyproject.toml") == {
        each: runners[each] for each in wanted
    }
    assert set(told.get_all("Requires-Dist") or ()) == {runners[each] for each in wanted}


def test_it_has_the_client_its_types_and_its_licence_and_nothing_of_the_runner(
    wheel: Path,
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tops = {name.partition("/")[0] for name in names}
    assert tops == {"supervisor", f"env_runner_supervisor-{__version__}.dist-info"}
    assert {"supervisor/py.typed", "supervisor/v1/supervisor_pb2.pyi"} <= names
    assert any(name.endswith("/LICENSE") for name in names)


def test_it_works_in_a_bare_environment_where_only_its_three_packages_are(
    wheel: Path, tmp_path: Path
) -> None:
    bare, beside = tmp_path / "venv", tmp_path / "packages"
    venv.create(bare)
    python = bare / "bin/python"
    pip("--python", str(python), "install", "--no-index", "--no-deps", wheel)
    beside.mkdir()
    for name in ("grpc", "google.protobuf", "typing_extensions"):  # the last is grpcio's own
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        top = origin if origin.name != "__init__.py" else origin.parent
        top = top.parent if "." in name else top
        (beside / top.name).symlink_to(top)
    done = subprocess.run(
        [python, "-c", PROGRAM],
        env={"PYTHONPATH": str(beside)},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    where, address = done.stdout.split()
    assert Path(where).is_relative_to(bare)
    assert address == "unix:/s"
