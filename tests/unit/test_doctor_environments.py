"""What the checks say of hosts on which environments can be built, and of others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.config import Config, load
from runner.config.model import Python
from runner.doctor import Verdict, environments
from runner.environments.program import find


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load(None, {"ENV_RUNNER_STATE__DIRECTORY": str(tmp_path)}, root=True)


async def test_uv_is_there_and_says_its_version() -> None:
    finding = await environments.uv(find())
    assert finding.verdict is Verdict.OK
    assert finding.found.startswith("uv ")


async def test_without_uv_it_is_told_what_to_install(tmp_path: Path) -> None:
    broken = tmp_path / "uv"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    for path in ("", "/nowhere/uv", str(broken)):
        finding = await environments.uv(path)
        assert finding.verdict is Verdict.WARN
        assert "python.uv" in finding.remedy


def test_packages_come_from_what_is_configured(config: Config, tmp_path: Path) -> None:
    def judged(**words: object) -> tuple[Verdict, str]:
        python = Python(**words)  # type: ignore[arg-type] # as given
        finding = environments.packages(replace(config, python=python))
        return finding.verdict, finding.found

    assert judged()[0] is Verdict.OK
    index = "https://index.example/simple"
    assert judged(index=index, index_login="me:secret") == (Verdict.OK, f"from {index}")
    house = tmp_path / "wheels"
    assert judged(wheel_houses=(str(house),))[0] is Verdict.WARN
    house.mkdir()
    assert judged(wheel_houses=(str(house),))[0] is Verdict.WARN
    (house / "a.whl").touch()
    assert judged(wheel_houses=(str(house),)) == (Verdict.OK, f"from {house}")


def test_whom_tasks_cannot_pass_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    place = closed / "not" / "yet"
    assert environments.way(place, others=False).verdict is Verdict.OK
    finding = environments.way(place, others=True)
    assert finding.verdict is Verdict.WARN
    assert "cannot pass" in finding.found
