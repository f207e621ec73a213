"""What an engine really set: any difference from what was asked for is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.executors.container.flavours import DOCKER, PODMAN, Flavour
from runner.executors.container.readback import differences
from runner.executors.container.spec import body
from tests.support.launches import IMAGE, SETTINGS, docker_says, launch, podman_says

ASKED = body(launch(stdin=b""), IMAGE, SETTINGS, DOCKER)
LOG = ASKED["HostConfig"]["LogConfig"]["Config"]
EXTRA = {"Type": "bind", "Source": "/", "Destination": "/host", "RW": True}


def test_what_was_made_as_asked_has_no_difference() -> None:
    assert differences(docker_says(ASKED), ASKED, DOCKER) == []
    podman = body(launch(stdin=b""), IMAGE, SETTINGS, PODMAN)
    assert differences(podman_says(podman), podman, PODMAN) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("User", "0:0"),
        ("User", ""),
        ("Entrypoint", ["sh"]),
        ("Cmd", ["--more"]),
        ("WorkingDir", "/"),
        ("Tty", True),
        ("Healthcheck", {"Test": ["CMD", "true"]}),
        ("StopSignal", "SIGKILL"),
        ("Env", []),
        ("Labels", {}),
    ],
)
def test_a_program_that_differs_is_found(key: str, value: object) -> None:
    told = docker_says(ASKED)
    told["Config"] = {**told["Config"], key: value}
    assert differences(told, ASKED, DOCKER)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Privileged", True),
        ("CapAdd", ["SYS_ADMIN"]),
        ("CapDrop", []),
        ("CapDrop", ["CHOWN"]),
        ("SecurityOpt", []),
        ("SecurityOpt", ["no-new-privileges", "seccomp=unconfined"]),
        ("Devices", [{"PathOnHost": "/dev/sda"}]),
        ("DeviceRequests", [{"Count": -1}]),
        ("GroupAdd", ["0"]),
        ("VolumesFrom", ["other"]),
        ("ReadonlyRootfs", False),
        ("Init", None),
        ("PidMode", "host"),
        ("IpcMode", "host"),
        ("UTSMode", "host"),
        ("NetworkMode", "host"),
        ("RestartPolicy", {"Name": "always"}),
        ("AutoRemove", True),
        ("OomKillDisable", True),
        ("Memory", 0),
        ("MemorySwap", -1),
        ("PidsLimit", None),
        ("NanoCpus", 0),
        ("Ulimits", []),
        ("LogConfig", {"Type": "json-file"}),
        ("LogConfig", {"Type": "none"}),
        ("LogConfig", {"Type": "local", "Config": None}),
        ("LogConfig", {"Type": "local", "Config": {**LOG, "mode": "non-blocking"}}),
        ("LogConfig", {"Type": "local", "Config": {**LOG, "max-buffer-size": "4k"}}),
        ("LogConfig", {"Type": "local", "Config": {**LOG, "max-file": "1"}}),
        ("Tmpfs", {"/etc": ""}),
    ],
)
def test_confinement_and_limits_that_differ_are_found(key: str, value: object) -> None:
    told = docker_says(ASKED)
    told["HostConfig"] = {**told["HostConfig"], key: value}
    assert differences(told, ASKED, DOCKER)


@pytest.mark.parametrize("change", ["more", "fewer", "writable", "volume"])
def test_mounts_that_differ_are_found(change: str) -> None:
    told = docker_says(ASKED)
    mounts: list[dict[str, Any]] = told["Mounts"]
    told["Mounts"] = {
        "more": [*mounts, EXTRA],
        "fewer": mounts[1:],
        "writable": [{**mounts[0], "RW": False}, *mounts[1:]],
        "volume": [*mounts, {"Type": "volume", "Destination": "/data", "RW": True}],
    }[change]
    assert differences(told, ASKED, DOCKER)


def test_a_label_of_the_runners_that_it_did_not_set_is_found() -> None:
    told = docker_says(ASKED)
    labels = {**told["Config"]["Labels"], "of-the-image": "x"}
    told["Config"] = {**told["Config"], "Labels": labels}
    assert differences(told, ASKED, DOCKER) == []
    for other in ({"env-runner.owner": "me"}, {"env-runner.new": ""}):
        told["Config"] = {**told["Config"], "Labels": {**labels, **other}}
        assert len(differences(told, ASKED, DOCKER)) == 1


def test_another_image_is_found() -> None:
    assert differences({**docker_says(ASKED), "Image": "sha256:other"}, ASKED, DOCKER)


def test_a_difference_in_a_variable_never_tells_its_value() -> None:
    asked = body(launch(environment={"TOKEN": "hidden"}), IMAGE, SETTINGS, DOCKER)
    told = docker_says(asked)
    told["Config"] = {**told["Config"], "Env": []}
    assert not any("hidden" in line for line in differences(told, asked, DOCKER))


@pytest.mark.parametrize("line", ["LD_PRELOAD=/x.so", "HTTP_PROXY=http://hidden@proxy", "BARE"])
@pytest.mark.parametrize("flavour", [DOCKER, PODMAN])
def test_a_variable_that_an_engine_adds_is_found_and_its_value_not_told(
    flavour: Flavour, line: str
) -> None:
    asked = body(launch(), IMAGE, SETTINGS, flavour)
    told = docker_says(asked) if flavour is DOCKER else podman_says(asked)
    told["Config"] = {**told["Config"], "Env": [*told["Config"]["Env"], line]}
    found = differences(told, asked, flavour, IMAGE)
    assert [line.partition("=")[0] in each for each in found] == [True]
    assert "hidden" not in found[0]


def test_a_variable_of_the_image_is_none_that_the_engine_added_unless_it_changed_it() -> None:
    image = replace(IMAGE, env=(("MINE", "1"), ("PATH", "/image"), ("LD_PRELOAD", "/x")))
    asked = body(launch(), image, SETTINGS, DOCKER)
    for value, as_asked in (("1", True), ("2", False)):
        told = docker_says(asked)
        env = [*told["Config"]["Env"], f"MINE={value}", "PATH=/image"]
        told["Config"] = {**told["Config"], "Env": env}
        assert (differences(told, asked, DOCKER, image) == []) is as_asked


def test_an_answer_with_nothing_in_it_is_all_differences() -> None:
    assert len(differences({}, ASKED, DOCKER)) > 10
