"""Annotations of images and containers: what is no description goes to no runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.failure import Fault, Reason
from runner.executors.container.containers import Containers
from runner.executors.container.engine import Engine, Failed
from runner.executors.container.flavours import DOCKER, PODMAN, ROOTLESS
from runner.executors.container.gpu_looks import GpuLooks
from runner.executors.container.image import ImageFacts, facts
from runner.executors.container.image_annotations import DESCRIBING, differences, problem
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.images import Images
from runner.executors.container.launching import Launching
from runner.executors.container.place import Places
from runner.executors.container.spec import Unfit, body
from runner.ports import LaunchFailed
from tests.support.launches import IMAGE, SETTINGS, docker_says, launch, podman_says
from tests.unit.test_container_requests import answer, answering

ORDERS = (
    "run.oci.hooks.stderr",
    "run.oci.seccomp_bpf_data",
    "org.systemd.property.TimeoutStopUSec",
    "io.katacontainers.config.hypervisor.path",
    "io.podman.annotations.cid-file",
    "io.podman.annotations.privileged",
    "io.kubernetes.cri-o.TTY",
    "org.opencontainers.imagery",
    "ORG.opencontainers.image.title",
    "",
)
HARMLESS = tuple(f"{prefix}x" for prefix in DESCRIBING)
ID = "sha256:" + "1" * 64

# what Podman 4.3 tells of a container of an image that has none
PODMAN_4 = {
    "io.kubernetes.cri-o.TTY": "false",
    "io.podman.annotations.autoremove": "FALSE",
    "io.podman.annotations.init": "TRUE",
    "io.podman.annotations.privileged": "FALSE",
    "io.podman.annotations.publish-all": "FALSE",
}


@pytest.mark.parametrize("name", ORDERS)
def test_an_image_with_what_may_be_an_order_is_not_run(name: str) -> None:
    image = ImageFacts(ID, ("/entry",), annotations=(*HARMLESS, name))
    with pytest.raises(Unfit, match="build the image without it") as raised:
        body(launch(), image, SETTINGS, PODMAN)
    assert repr(name) in str(raised.value)


def test_an_image_that_is_only_described_is_run() -> None:
    assert body(launch(), ImageFacts(ID, ("/entry",), annotations=HARMLESS), SETTINGS, PODMAN)


@given(st.lists(st.sampled_from((*ORDERS, *HARMLESS)) | st.text(max_size=2000)))
def test_a_problem_is_told_of_no_more_and_no_less_in_bounded_words(names: list[str]) -> None:
    said = problem(names)
    assert bool(said) is any(not name.startswith(DESCRIBING) for name in names)
    assert len(said) < 500
    assert said.isprintable()


@pytest.mark.parametrize("flavour", [PODMAN, ROOTLESS])
def test_what_podman_sets_itself_is_no_difference(flavour: Any) -> None:
    asked = body(launch(), IMAGE, SETTINGS, flavour)
    own = {"io.podman.annotations.pids-limit": "33"}  # by 5: 32, and its init
    if flavour is ROOTLESS:
        own["io.podman.annotations.userns"] = "keep-id"
    assert differences({**PODMAN_4, **own, **dict.fromkeys(HARMLESS, "x")}, asked) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, "x") for name in ORDERS),
        ("io.podman.annotations.privileged", "TRUE"),
        ("io.podman.annotations.pids-limit", "0"),
        ("io.podman.annotations.userns", "host"),
        ("io.podman.annotations.userns", "None"),
        ("io.podman.annotations.volumes-from", "other"),
    ],
)
def test_an_annotation_that_was_not_asked_for_is_a_difference(name: str, value: str) -> None:
    (line,) = differences({**PODMAN_4, name: value}, body(launch(), IMAGE, SETTINGS, PODMAN))
    assert repr(name) in line


VERSION = {"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]}
DOCKERS = {"ApiVersion": "1.41", "Components": []}
TOLD = {"Id": ID[7:], "RepoTags": ["r.example/a:1"], "Annotations": {"run.oci.x": "y"}}


async def test_an_images_annotations_are_asked_of_podmans_own_api(nothing_is_left: Path) -> None:
    answers = {"version": answer(VERSION), "v4.3.1/libpod/images/r.example/a:1": answer(TOLD)}
    async with answering(nothing_is_left / "s", **answers) as socket:
        engine = Engine("podman", socket)
        images = Images(engine, ImageRecord(), distribution=False)
        try:
            ready = await images.ensure(
                "r.example/a:1", "never", "", tenant="", progress=lambda *_: None
            )
        finally:
            await engine.close()
    assert (ready.id, ready.facts.annotations) == (ID, ("run.oci.x",))
    assert facts({"Id": ID}).annotations == ()


async def found(directory: Path, version: Any, told: Any, libpod: Any) -> dict[str, Any]:
    """What is found on a container by such answers."""
    answers = {"version": answer(version), "libpod/containers/it": answer(libpod)}
    async with answering(directory / "s", **answers) as socket:
        engine = Engine("podman", socket)
        try:
            return await Containers(engine).annotations("it", told)
        finally:
            await engine.close()


async def test_a_containers_annotations_are_asked_of_whoever_tells_them(
    nothing_is_left: Path,
) -> None:
    docker, podman = {"HostConfig": {"Annotations": {"a": "1"}}}, {"Annotations": {"b": "2"}}
    assert await found(nothing_is_left, VERSION, docker, {"Config": podman}) == {"b": "2"}
    assert await found(nothing_is_left, VERSION, docker, {"Config": {"Annotations": None}}) == {}
    assert await found(nothing_is_left, DOCKERS, docker, {}) == {"a": "1"}
    with pytest.raises(Failed, match="does not tell a container's annotations"):
        await found(nothing_is_left, VERSION, docker, {"Config": {}})


@pytest.mark.parametrize("flavour", [DOCKER, PODMAN])
async def test_a_container_with_another_annotation_is_not_started(
    nothing_is_left: Path, monkeypatch: pytest.MonkeyPatch, flavour: Any
) -> None:
    """As where its image was given another manifest since it was looked at."""
    asked = body(launch(), IMAGE, SETTINGS, flavour)
    told = podman_says(asked) if flavour is PODMAN else docker_says(asked)
    told["HostConfig"]["Annotations"] = {"run.oci.x": "y"}

    async def inspect(*_: object) -> dict[str, Any]:
        return told

    monkeypatch.setattr(Containers, "inspect", inspect)
    version = VERSION if flavour is PODMAN else DOCKERS
    libpod = {"Config": {"Annotations": {**PODMAN_4, "run.oci.x": "y"}}}
    answers = {"version": answer(version), "libpod/containers/it": answer(libpod)}
    async with answering(nothing_is_left / "s", **answers) as socket:
        engine = Engine(flavour.name, socket)
        images, places = Images(engine, ImageRecord()), Places(nothing_is_left)
        looks = GpuLooks(flavour.name, lambda *_, **__: None)
        launching = Launching(SETTINGS, Containers(engine), images, places, looks)
        try:
            with pytest.raises(LaunchFailed, match=r"annotation 'run\.oci\.x'") as raised:
                await launching._check("it", asked, flavour, IMAGE)
        finally:
            await engine.close()
    failure = raised.value.failure
    assert (failure.reason, failure.fault) == (Reason.EXECUTOR, Fault.SYSTEM)
