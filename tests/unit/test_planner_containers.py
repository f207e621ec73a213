"""Plans of tasks in containers: by which engine, as whom, on what, and what of it is held."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from runner.domain.plan import Mode
from runner.domain.refusal import Code
from runner.planning.policy import Engine, HostPath, Policy, Rules, stays
from tests.support.payloads import on, planned, refusal, some_rules

DOCKER = frozenset({Mode.DOCKER})
DISK = {"disk": "a directory of this host"}
NOTHING = dict.fromkeys(("memory", "cpu", "processes", "disk"), "rootless on cgroup v1")


def rules(*, docker: bool = True, podman: bool = True, unheld: Any = None, **policy: Any) -> Rules:
    """Of a runner with both engines, ready or not."""
    held = unheld or DISK
    engines = {
        "docker": Engine(docker, "65534:65534", held, ("by cgroup v1",)),
        "podman": Engine(podman, "1000:1000", held),
    }
    made = some_rules(Policy(**{"images": ("r.example/*",), **policy}))
    return on(made, engines=engines, executors=dict.fromkeys(engines, DOCKER), strays=stays)


def box(**execution: Any) -> dict[str, Any]:
    return {"execution": {"image": "r.example/a:1", **execution}}


@pytest.mark.parametrize(
    ("ready", "chosen"),
    [({"docker", "podman"}, "docker"), ({"podman"}, "podman"), (set(), "docker")],
)
def test_the_first_engine_that_is_ready_is_taken(ready: set[str], chosen: str) -> None:
    plan = planned(box(), by=rules(docker="docker" in ready, podman="podman" in ready))
    assert plan.executor == chosen
    assert ("ready" in plan.decisions[1]) is bool(ready)


def test_an_engine_that_is_named_is_waited_for() -> None:
    assert planned(box(executor="podman"), by=rules(podman=False)).executor == "podman"


def test_argv_is_kept_in_its_two_parts_since_the_image_has_what_is_absent() -> None:
    plan = planned(box(entrypoint=["/e"], command=["a"]), by=rules())
    assert (plan.argv, plan.entrypoint, plan.command) == (("/e", "a"), ("/e",), ("a",))
    plan = planned(box(pull="always"), by=rules())
    assert (plan.entrypoint, plan.command, plan.pull) == (None, None, "always")


def test_it_runs_as_the_engines_user_without_network_unless_more_is_granted() -> None:
    plan = planned(box(), by=rules())
    assert (plan.user, plan.network, plan.level) == ("65534:65534", "none", "")
    granted = rules(users=("7:7",), networks=frozenset({"bridge"}))
    plan = planned(box(user="7:7", network="bridge"), by=granted)
    assert (plan.user, plan.network) == ("7:7", "bridge")


@pytest.mark.parametrize("user", ["root", "nobody", "0:app"])
def test_a_user_by_name_is_denied_whatever_is_granted(user: str) -> None:
    """B25: the image says which number a name is."""
    error = refusal(box(user=user), by=rules(users=(user,)))
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "USER_DENIED")


@pytest.mark.parametrize("user", ["0", "0:0", "0:7"])
def test_no_container_runs_as_root_whatever_is_granted(user: str) -> None:
    error = refusal(box(user=user), by=rules(users=(user,)))
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "USER_DENIED")
    assert error.violations[0].field == "/execution/user"


def test_a_share_of_a_core_below_what_a_container_can_be_given_is_refused() -> None:
    error = refusal(box(resources={"cpu": 0.0099}), by=rules())
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "OUT_OF_RANGE")
    assert error.violations[0].field == "/execution/resources/cpu"
    assert planned(box(resources={"cpu": 0.01}), by=rules()).limits.cpu_cores == 0.01
    assert planned({"execution": {"command": ["x"], "resources": {"cpu": 0.001}}})


def test_a_default_that_no_engine_holds_is_told_and_one_that_is_asked_for_refused() -> None:
    plan = planned(box(), by=rules())
    assert plan.unheld == ("disk",)
    assert any("disk" in line and "not held here" in line for line in plan.decisions)
    error = refusal(box(resources={"disk": "1GiB"}), by=rules())
    assert (error.reason, error.violations[0].field) == (
        "LIMIT_NOT_HELD", "/execution/resources/disk",
    )  # fmt: skip


def test_an_engine_that_ignores_every_limit_runs_nothing_unless_the_site_allows_it() -> None:
    """Also of a task that names none: nothing would keep it from the host."""
    for resources in ({}, {"memory": "1GiB", "cpu": 1}):
        error = refusal(box(resources=resources), by=rules(unheld=NOTHING))
        assert (error.code, error.reason) == (Code.FAILED_PRECONDITION, "LIMIT_NOT_HELD")
        assert {each.field for each in error.violations} == {
            f"/execution/resources/{kind}" for kind in ("memory", "cpu", "processes")
        }
    strict = rules(unheld=NOTHING, limits_not_held="refuse")
    assert "/execution/resources/disk" in {
        each.field for each in refusal(box(), by=strict).violations
    }
    allowed = rules(unheld=NOTHING, limits_not_held="allow")
    assert set(planned(box(), by=allowed).unheld) == set(NOTHING)


def test_a_default_that_an_engine_does_not_hold_beside_others_that_it_does_is_told() -> None:
    some = dict.fromkeys(("processes", "disk"), "no controller")
    assert set(planned(box(), by=rules(unheld=some)).unheld) == set(some)
    error = refusal(box(resources={"processes": 5}), by=rules(unheld=some))
    assert error.violations[0].field == "/execution/resources/processes"


def test_memory_and_disk_need_not_fit_together_since_the_disk_is_none_of_it() -> None:
    plan = planned(box(), by=rules())
    assert plan.sized_disk == 0
    assert not any("memory too" in line for line in plan.decisions)


GRANTED = {"host_paths": (HostPath("/srv/models"),)}


def mount(source: str = "/srv/models/a", target: str = "/models") -> list[dict[str, Any]]:
    return [{"source": source, "target": target, "read_only": True}]


def test_mounts_of_what_is_granted_need_no_sandbox() -> None:
    assert planned(box(mounts=mount()), by=rules(**GRANTED)).mounts[0].target == "/models"


def test_what_is_wrong_with_the_way_to_a_source_denies_it_and_is_told() -> None:
    """B23."""
    by = on(rules(**GRANTED), strays=lambda *_: "is not there")
    error = refusal(box(mounts=mount()), by=by)
    assert (error.reason, error.violations[0].field) == (
        "MOUNT_DENIED", "/execution/mounts/0/source",
    )  # fmt: skip
    assert "is not there" in error.message


def test_an_engines_own_files_are_denied_and_what_holds_them() -> None:
    """B22."""
    made = rules(host_paths=(HostPath("/srv"), HostPath("/var")))
    of = Engine(ready=True, user="1:1", unheld=DISK, places=("/srv/docker/data",))
    made = on(made, engines={**made.host.engines, "docker": of})
    for source in ("/srv/docker/data/overlay2", "/srv/docker", "/srv", "/var", "/var/lib"):
        assert refusal(box(mounts=mount(source)), by=made).reason == "MOUNT_DENIED"
    for source in ("/srv/docker/other", "/var/data"):
        assert planned(box(mounts=mount(source)), by=made).mounts


@pytest.mark.parametrize(
    "target", ["/workspace", "/workspace/in", "/run", "/tmp/x", "/run/env-runner"]
)
def test_nothing_is_mounted_over_what_the_runner_gives(target: str) -> None:
    error = refusal(box(mounts=mount(target=target)), by=rules(**GRANTED))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_PATH")


@pytest.mark.parametrize("directory", ["/tmp", "/tmp/w", "/run", "/run/env-runner/w"])
def test_the_workspace_is_not_where_the_runner_has_its_own(directory: str) -> None:
    error = refusal(box(working_dir=directory), by=rules())
    assert error.violations[0].field == "/execution/working_dir"
    assert planned(box(working_dir="/srv/x"), by=rules()).working_dir == "/srv/x"


@pytest.mark.parametrize("directory", ["/usr", "/bin/", "/etc", "/usr/lib"])
def test_neither_workspace_nor_mount_hides_what_the_image_cannot_do_without(
    directory: str,
) -> None:
    error = refusal(box(working_dir=directory), by=rules())
    assert error.violations[0].field == "/execution/working_dir"
    error = refusal(box(mounts=mount(target=directory)), by=rules(**GRANTED))
    assert error.violations[0].field == "/execution/mounts/0/target"
    assert planned(box(working_dir="/usr/src/app"), by=rules()).working_dir == "/usr/src/app"


@pytest.mark.parametrize(
    "own", ["/etc/passwd", "/etc/hosts", "/etc/resolv.conf/x", "/.dockerenv", "/sbin/docker-init"]
)
def test_nothing_lies_where_engines_have_files_of_their_own(own: str) -> None:
    """With something else there they start no container."""
    error = refusal(box(mounts=mount(target=own)), by=rules(**GRANTED))
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_PATH")
    assert error.violations[0].field == "/execution/mounts/0/target"
    assert refusal(box(working_dir=own), by=rules()).reason == "BAD_PATH"
    assert planned(box(mounts=mount(target="/etc/passwd.d")), by=rules(**GRANTED)).mounts


def test_nothing_lies_around_what_podman_mounts_by_itself() -> None:
    """It would make that directory in the one that was given, on the host."""
    for execution in ({"mounts": mount(target="/var")}, {"working_dir": "/var"}):
        error = refusal(box(executor="podman", **execution), by=rules(**GRANTED))
        assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_PATH")
        assert planned(box(executor="docker", **execution), by=rules(**GRANTED))
    for target in ("/var/tmp", "/var/lib/x"):
        assert planned(box(executor="podman", mounts=mount(target=target)), by=rules(**GRANTED))


@pytest.mark.parametrize("directory", ["/lib64/x", "/bin/x", "/var/run/x"])
def test_the_workspace_is_not_below_what_is_a_link_in_most_images(directory: str) -> None:
    error = refusal(box(working_dir=directory), by=rules())
    assert (error.reason, error.violations[0].field) == ("BAD_PATH", "/execution/working_dir")
    assert planned(box(mounts=mount(target="/lib/x")), by=rules(**GRANTED)).mounts


@pytest.mark.parametrize("second", ["/models", "/models/", "/models/in", "/"])
def test_no_mount_lies_at_or_in_or_around_another(second: str) -> None:
    error = refusal(
        box(mounts=[*mount(), *mount(target="/other"), *mount(target=second)]), by=rules(**GRANTED)
    )
    assert (error.code, error.reason) == (Code.INVALID_ARGUMENT, "BAD_PATH")
    assert error.violations[0].field == "/execution/mounts/2/target"


@pytest.mark.parametrize("sign", [",", '"'])
def test_a_path_that_podman_would_take_for_options_is_refused_at_its_field(sign: str) -> None:
    odd = f"/models/a{sign}b"
    for execution, field in (
        ({"working_dir": odd}, "/execution/working_dir"),
        ({"mounts": mount(target=odd)}, "/execution/mounts/0/target"),
        ({"mounts": mount(f"/srv{odd}")}, "/execution/mounts/0/source"),
    ):
        error = refusal(box(executor="podman", **execution), by=rules(**GRANTED))
        assert (error.reason, [each.field for each in error.violations]) == ("BAD_PATH", [field])
        assert planned(box(executor="docker", **execution), by=rules(**GRANTED))


def test_what_its_registry_withholds_from_a_tenant_is_denied_whoever_pulled_it() -> None:
    """B26."""
    known = ("docker", "r.example/a:1", "other")
    by = replace(rules(), withheld=lambda *asked: asked == known)
    denied = refusal({**box(), "tenant": "other"}, by=by)
    assert (denied.code, denied.reason) == (Code.PERMISSION_DENIED, "IMAGE_DENIED")
    assert denied.violations[0].field == "/execution/image"
    for payload in (
        {**box(), "tenant": "acme"},
        {**box(executor="podman"), "tenant": "other"},
        {**box(image="r.example/b:1"), "tenant": "other"},
    ):
        assert planned(payload, by=by).executor


def test_what_an_engine_says_of_itself_is_in_the_plan() -> None:
    plan = planned(box(), by=rules())
    assert "by cgroup v1" in plan.decisions
    assert not any(line.startswith("sandbox") for line in plan.decisions)


def test_without_an_allow_list_no_image_is_granted() -> None:
    """B27."""
    bare = replace(rules(), policy=Policy())
    assert refusal(box(), by=bare).reason == "IMAGE_DENIED"


def test_a_tag_before_a_digest_grants_nothing_since_no_engine_heeds_it() -> None:
    by = rules(images=("r.example/a:1",))
    assert planned(box(image="r.example/a:1"), by=by)
    error = refusal(box(image=f"r.example/a:1@sha256:{'e' * 64}"), by=by)
    assert (error.code, error.reason) == (Code.PERMISSION_DENIED, "IMAGE_DENIED")
    assert "a pattern with a tag grants no digest" in error.message
