"""What an engine says of itself: what it holds, and what it would ignore without a word."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.config.model import Container
from runner.doctor.engines import examine, told
from runner.doctor.finding import Verdict
from runner.executors.container.flavours import PODMAN, ROOTLESS
from runner.executors.container.readiness import of_docker, of_podman
from runner.executors.container.waking import without
from tests.support.payloads import default_config

INFO: dict[str, Any] = {
    "ServerVersion": "20.10.24",
    "CgroupVersion": "1",
    "SecurityOptions": ["name=seccomp,profile=default"],
    "MemoryLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
}


def podman(
    *, rootless: bool, version: str = "v2", controllers: Any = ("memory", "cpu", "pids")
) -> Any:
    return {
        "host": {
            "security": {"rootless": rootless, "seccompEnabled": True},
            "cgroupVersion": version,
            "cgroupControllers": controllers,
        }
    }


def test_docker_holds_what_it_says_but_for_the_disk() -> None:
    known = of_docker({"ApiVersion": "1.41"}, INFO)
    assert known.readiness.ready
    assert set(known.readiness.unheld) == {"disk"}
    assert any("live-restore is off" in note for note in known.readiness.notes)
    assert (known.spared, of_docker({}, {**INFO, "LiveRestoreEnabled": True}).spared) == (
        False,
        True,
    )


def test_by_whom_containers_groups_are_made_is_known_where_the_engine_says_so() -> None:
    said = of_docker({}, {**INFO, "CgroupVersion": "2", "CgroupDriver": "systemd"})
    assert (said.cgroups, said.cgroup_driver) == (2, "systemd")
    assert (of_docker({}, {}).cgroups, of_docker({}, {}).cgroup_driver) == (0, "")
    info = podman(rootless=False)
    info["host"]["cgroupManager"] = "cgroupfs"
    known = of_podman("5.4.0", info)
    assert (known.cgroups, known.cgroup_driver) == (2, "cgroupfs")


def test_a_limit_that_docker_cannot_hold_is_told() -> None:
    assert set(of_docker({}, {**INFO, "MemoryLimit": False}).readiness.unheld) == {"memory", "disk"}


@pytest.mark.parametrize("options", [[], ["name=seccomp,profile=default", "name=rootless"]])
def test_docker_without_seccomp_or_root_is_not_ready(options: list[str]) -> None:
    said = of_docker({}, {**INFO, "SecurityOptions": options}).readiness
    assert (said.ready, bool(said.problem)) == (False, True)


@pytest.mark.parametrize("options", [["name=seccomp,profile=unconfined"], ["name=apparmor"]])
def test_an_engine_that_filters_no_system_calls_runs_no_task(options: list[str]) -> None:
    podmans = podman(rootless=False)
    podmans["host"]["security"]["seccompProfilePath"] = "unconfined"
    for said in (
        of_docker({}, {**INFO, "SecurityOptions": options}).readiness,
        of_podman("4.3.1", podmans).readiness,
    ):
        assert (said.ready, "seccomp" in said.problem) == (False, True)
        assert told("it", said).verdict is Verdict.FAIL


def test_a_seccomp_profile_of_the_sites_own_is_told() -> None:
    podmans = podman(rootless=False)
    podmans["host"]["security"]["seccompProfilePath"] = "/srv/own.json"
    docker = {**INFO, "SecurityOptions": ["name=seccomp,profile=/srv/own.json"]}
    for said in (of_docker({}, docker).readiness, of_podman("4.3.1", podmans).readiness):
        assert said.ready
        assert any("/srv/own.json" in note for note in said.notes)
    podmans["host"]["security"]["seccompProfilePath"] = "/usr/share/containers/seccomp.json"
    for known in (of_docker({}, INFO), of_podman("4.3.1", podmans)):
        assert not any("profile" in note for note in known.readiness.notes)


def test_that_tasks_run_without_dockers_userns_remap_is_told() -> None:
    options = [*INFO["SecurityOptions"], "name=userns"]
    said = of_docker({}, {**INFO, "SecurityOptions": options}).readiness
    assert any("userns-remap" in note for note in said.notes)


def test_rootless_podman_on_cgroup_v1_holds_nothing_and_is_said_to() -> None:
    known = of_podman("4.3.1", podman(rootless=True, version="v1", controllers=None))
    assert set(known.readiness.unheld) == {"memory", "cpu", "processes", "disk"}
    assert "cgroup v2" in known.readiness.unheld["memory"]
    assert known.flavour is ROOTLESS
    assert told("podman", known.readiness).verdict is Verdict.WARN


def test_podman_holds_what_it_has_controllers_for() -> None:
    known = of_podman("4.3.1", podman(rootless=False))
    assert (known.flavour, set(known.readiness.unheld)) == (PODMAN, {"disk"})
    assert told("podman", known.readiness).verdict is Verdict.OK
    assert "memory" in of_podman("4", podman(rootless=True, controllers=("cpu",))).readiness.unheld


def test_without_a_socket_there_is_no_engine(nothing_is_left: Any) -> None:
    assert "no engine at" in without(str(nothing_is_left / "docker.sock"))
    (nothing_is_left / "file").touch()
    assert "no socket" in without(str(nothing_is_left / "file"))
    (nothing_is_left / "file").unlink()


@pytest.mark.parametrize("enabled", [True, False])
async def test_one_engine_by_two_names_is_a_fault_of_the_host(
    nothing_is_left: Path, *, enabled: bool
) -> None:
    """A package may make Docker's socket a link to Podman's."""
    engine, link = nothing_is_left / "podman", nothing_is_left / "docker"
    engine.touch()
    link.symlink_to(engine)
    docker = Container(enabled=enabled, url=f"unix://{link}")
    podman = Container(enabled=True, url=f"unix://{engine}")
    found = await examine(replace(default_config(), docker=docker, podman=podman))
    assert ("one and the same engine" in found[1].found) is enabled
    assert found[1].verdict is Verdict.FAIL
    for each in (link, engine):
        each.unlink()
