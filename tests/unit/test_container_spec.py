"""What an engine is asked to create: locked down, whatever payload and image say."""

from __future__ import annotations

import re
import string
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.paths import output_places
from runner.domain.plan import Mount
from runner.executors.container.flavours import DOCKER, PODMAN, ROOTLESS, Flavour
from runner.executors.container.granted import Seen
from runner.executors.container.image import ImageFacts, facts
from runner.executors.container.spec import Unfit, body
from tests.support.launches import IMAGE, LIMITS, SETTINGS, launch


def asked(image: ImageFacts = IMAGE, **words: Any) -> dict[str, Any]:
    return body(launch(**words), image, SETTINGS, DOCKER)


def variables(image: ImageFacts = IMAGE, **words: Any) -> dict[str, str]:
    return dict(line.split("=", 1) for line in asked(image, **words)["Env"])


def test_it_has_no_privilege_and_writes_nowhere_but_to_its_own() -> None:
    host = asked()["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"]) == (["ALL"], [])
    assert host["SecurityOpt"] == ["no-new-privileges"]
    assert (host["Privileged"], host["ReadonlyRootfs"], host["AutoRemove"]) == (False, True, False)
    assert (host["NetworkMode"], host["IpcMode"], host["Init"]) == ("none", "private", True)
    assert list(host["Tmpfs"]) == ["/tmp"]
    writable = [each["Target"] for each in host["Mounts"] if not each["ReadOnly"]]
    assert writable == ["/workspace", "/run/env-runner"]


def test_its_limits_are_its_own_with_swap_off_and_room_for_the_init() -> None:
    host = asked()["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == LIMITS.memory_bytes
    assert (host["NanoCpus"], host["PidsLimit"]) == (1_500_000_000, 33)
    assert host["OomKillDisable"] is False


@pytest.mark.parametrize(
    ("cores", "nano"),
    [
        (0.3333333, 333_330_000),
        (0.29, 290_000_000),  # as a float a little less than that
        (0.07, 70_000_000),
        (0.01, 10_000_000),
        (1.999999, 1_999_990_000),
    ],
)
def test_a_share_of_a_core_is_what_engines_can_hold_and_no_more_than_granted(
    cores: float, nano: int
) -> None:
    limits = replace(LIMITS, cpu_cores=cores)
    assert asked(limits=limits)["HostConfig"]["NanoCpus"] == nano


def test_less_of_a_core_than_a_container_can_be_given_is_the_tasks_own_fault() -> None:
    with pytest.raises(Unfit, match="less than a container"):
        asked(limits=replace(LIMITS, cpu_cores=0.0099))


def test_a_limit_that_is_not_held_is_not_asked_for() -> None:
    host = asked(unheld=("memory", "cpu", "processes"))["HostConfig"]
    assert not {"Memory", "MemorySwap", "NanoCpus", "PidsLimit"} & set(host)


def test_ulimits_are_never_above_what_the_runner_itself_has() -> None:
    settings = replace(SETTINGS, hard={"nofile": 1000})
    found = body(launch(), IMAGE, settings, DOCKER)["HostConfig"]["Ulimits"]
    limits = {each["Name"]: (each["Soft"], each["Hard"]) for each in found}
    assert limits == {"core": (0, 0), "nofile": (1000, 1000), "nproc": (32_768, 32_768)}


def test_the_log_says_every_option_that_a_daemons_own_configuration_would_else_fill_in() -> None:
    log = asked()["HostConfig"]["LogConfig"]
    assert (log["Type"], set(log["Config"])) == (
        "local", {"mode", "max-size", "max-file", "compress"},
    )  # fmt: skip
    assert (log["Config"]["mode"], log["Config"]["compress"]) == ("blocking", "false")
    podman = body(launch(), IMAGE, SETTINGS, PODMAN)["HostConfig"]["LogConfig"]
    assert podman["Type"] == "k8s-file"


def room(flavour: Flavour, limit: int) -> int:
    """Bytes that the log has before anything of it is lost."""
    config = flavour.log_config(limit)["Config"]
    number, unit = re.fullmatch(r"([0-9]+)(mb?)", config["max-size"]).groups()  # type: ignore[union-attr]
    return int(number) * {"m": 1 << 20, "mb": 1_000_000}[unit] * int(config.get("max-file", 1))


@pytest.mark.parametrize(("flavour", "a_line"), [(DOCKER, 28), (PODMAN, 47)])
def test_the_log_has_room_for_empty_lines_alone_up_to_half_a_gib(
    flavour: Flavour, a_line: int
) -> None:
    for limit in (0, 1, 1 << 20, 10 << 20):
        assert room(flavour, limit) >= a_line * limit + (8 << 20)
    for limit in (64 << 20, 1 << 30):
        most = max(512 << 20, 4 * limit)
        assert most <= room(flavour, limit) <= most + (20 << 20)


@pytest.mark.parametrize(
    ("entrypoint", "command", "argv"),
    [
        (None, None, ["/entry", "a", "b"]),
        (None, ("c",), ["/entry", "c"]),
        (None, (), ["/entry"]),
        (("x",), None, ["x", "a", "b"]),
        (("x",), ("c",), ["x", "c"]),
        ((), ("c",), ["c"]),
    ],
)
def test_what_of_argv_is_absent_is_the_images(
    entrypoint: Any, command: Any, argv: list[str]
) -> None:
    found = asked(entrypoint=entrypoint, command=command)
    assert (found["Entrypoint"], found["Cmd"]) == (argv, [])


def test_an_image_without_a_command_needs_one() -> None:
    with pytest.raises(Unfit, match="names a command"):
        asked(ImageFacts("sha256:1"))


def test_an_empty_word_is_no_program_also_where_it_is_the_images() -> None:
    with pytest.raises(Unfit, match="is empty"):
        asked(replace(IMAGE, entrypoint=("",)))
    with pytest.raises(Unfit, match="is empty"):
        asked(ImageFacts("sha256:1"), command=("",))
    assert asked(command=("",))["Entrypoint"] == ["/entry", ""]


def test_the_images_user_is_not_heeded_and_a_group_is_never_roots_by_default() -> None:
    assert asked()["User"] == "65534:65534"
    assert asked(user="10001")["User"] == "10001:10001"
    assert asked(user="10001:7")["User"] == "10001:7"


@pytest.mark.parametrize(
    "user", ["nobody", "0", "0:0", "00:7", "\N{ARABIC-INDIC DIGIT ZERO}", "1:2:3", "4294967295"]
)
def test_no_container_runs_as_root_or_as_what_could_mean_it(user: str) -> None:
    with pytest.raises(Unfit, match="user"):
        asked(user=user)
    with pytest.raises(Unfit, match="user"):
        body(launch(), IMAGE, replace(SETTINGS, user=user), DOCKER)


def test_what_an_image_sets_of_the_runners_and_the_loaders_variables_is_emptied() -> None:
    """B18."""
    names = ("LD_PRELOAD", "LD_LIBRARY_PATH", "NVIDIA_DRIVER_CAPABILITIES", "ENV_RUNNER_X", "MINE")
    found = variables(replace(IMAGE, env=tuple((name, "image") for name in names)))
    assert {name: found.get(name) for name in names} == {
        **dict.fromkeys(names[:4], ""),
        "MINE": None,
    }


def test_the_images_path_stands_unless_the_payload_has_its_own() -> None:
    image = replace(IMAGE, env=(("PATH", "/image"),))
    assert "PATH" not in variables(image)  # the engine takes the image's
    assert variables(image, env={"PATH": "/own"}, environment={"PATH": "/own"})["PATH"] == "/own"
    assert variables()["PATH"] == "/default"


def test_what_an_image_sets_twice_or_to_nothing_is_said_since_engines_differ() -> None:
    env = (("A", "1"), ("PATH", "/image"), ("B", ""), ("A", "2"), ("C", "3"), ("PATH", "/last"))
    found = variables(replace(IMAGE, env=env))
    assert (found["A"], found["B"], found["PATH"]) == ("2", "", "/last")
    assert "C" not in found
    assert variables(replace(IMAGE, env=env), environment={"A": "own"})["A"] == "own"


@pytest.mark.parametrize("line", ["", "=x"])
def test_an_image_with_a_variable_without_a_name_cannot_be_run(line: str) -> None:
    image = facts({"Id": "sha256:1", "Config": {"Env": ["A=1", line], "Cmd": ["x"]}})
    with pytest.raises(Unfit, match="without a name"):
        asked(image)


def test_its_home_is_its_workspace_and_its_files_have_fixed_places() -> None:
    found = variables(working_dir="/srv/place/")
    assert (found["HOME"], found["TMPDIR"]) == ("/srv/place", "/tmp")
    assert found["ENV_RUNNER_RESULT"] == "/run/env-runner/result.json"


@given(st.dictionaries(st.text(string.ascii_uppercase, min_size=1), st.text(), max_size=5))
def test_values_arrive_as_they_are(environment: dict[str, str]) -> None:
    """B20: a newline, a quote, an option of Docker's is text."""
    own = {"HOME", "TMPDIR"}
    found = variables(environment=environment)
    assert {n: found[n] for n in environment} == environment or set(environment) & own


def test_a_volume_of_the_image_is_memory_and_never_the_hosts_disk() -> None:
    found = asked(replace(IMAGE, volumes=("/data", "/workspace", "/tmp")))["HostConfig"]["Mounts"]
    assert [(m["Type"], m["Target"]) for m in found[2:]] == [("tmpfs", "/data")]


@pytest.mark.parametrize(
    "volume", ["/", "/proc/x", "data", "/a/../../etc", "/x\n", "/etc", "//usr/", "/usr/bin"]
)
def test_a_volume_where_none_can_be_is_refused(volume: str) -> None:
    with pytest.raises(Unfit, match="declares a volume"):
        asked(replace(IMAGE, volumes=(volume,)))


@pytest.mark.parametrize("volume", ["/data/sub", "/data/sub/in", "/run/env-runner/x"])
def test_no_volume_lies_in_what_is_mounted_from_the_host(volume: str) -> None:
    """The engine would make its place there as root, and leave it."""
    image = replace(IMAGE, volumes=(volume,))
    for read_only in (True, False):
        with pytest.raises(Unfit, match=f"volume at '{volume}'"):
            body(launch(), image, SETTINGS, DOCKER, [Seen("/srv/a", read_only, "/data", 1, 2)])


def test_a_mount_may_take_a_volumes_place_or_lie_in_it() -> None:
    seen = [Seen("/srv/a", True, "/data/sub", 1, 2)]
    mounts = body(launch(), replace(IMAGE, volumes=("/data",)), SETTINGS, DOCKER, seen)
    assert [m["Target"] for m in mounts["HostConfig"]["Mounts"][2:]] == ["/data/sub", "/data"]
    mounts = body(launch(), replace(IMAGE, volumes=("/data/sub",)), SETTINGS, DOCKER, seen)
    assert [m["Type"] for m in mounts["HostConfig"]["Mounts"]] == ["bind"] * 3


def test_mounts_are_of_what_was_looked_at() -> None:
    request = launch(mounts=(Mount("/srv/link", "/data"),))
    seen = [Seen("/srv/real", True, "/data", 1, 2)]
    mounts = body(request, IMAGE, SETTINGS, DOCKER, seen)["HostConfig"]["Mounts"]
    assert (mounts[2]["Source"], mounts[2]["ReadOnly"]) == ("/srv/real", True)


@pytest.mark.parametrize("sign", [",", '"'])
@pytest.mark.parametrize("flavour", [PODMAN, ROOTLESS])
def test_podman_never_gets_a_path_that_it_would_take_for_options(
    flavour: Flavour, sign: str
) -> None:
    odd = f"/a{sign}ro=false"
    launches = [
        (launch(working_dir=odd), IMAGE, []),
        (launch(), IMAGE, [Seen(odd, True, "/data", 1, 2)]),
        (launch(), IMAGE, [Seen("/srv/real", True, odd, 1, 2)]),
        (launch(), replace(IMAGE, volumes=(odd,)), []),
    ]
    for request, image, seen in launches:
        with pytest.raises(Unfit, match="comma or a quote"):
            body(request, image, SETTINGS, flavour, seen)
        assert body(request, image, SETTINGS, DOCKER, seen)


def test_labels_say_whose_it_is_and_a_callers_labels_cannot_say_otherwise() -> None:
    labels = asked()["Labels"]
    assert (labels["env-runner.runner"], labels["env-runner.name"]) == ("r1", "er-0123-1")
    assert labels["env-runner.label.team"] == "ml"


def test_no_label_of_an_image_is_taken_for_the_runners() -> None:
    names = ("owner", "root", "runner", "tenant", "label.team", "label.other", "later")
    image = replace(IMAGE, labels=("maintainer", *(f"env-runner.{name}" for name in names)))
    labels = asked(image)["Labels"]
    assert "maintainer" not in labels
    assert asked()["Labels"].items() <= labels.items()
    empty = {name for name, value in labels.items() if not value}
    assert empty == {f"env-runner.{x}" for x in ("owner", "root", "tenant", "label.other", "later")}
    owned = body(launch(), image, replace(SETTINGS, owner="a process"), DOCKER)["Labels"]
    assert owned["env-runner.owner"] == "a process"
    assert owned["env-runner.root"] == str(SETTINGS.root)


def test_two_runners_of_one_name_have_containers_of_different_names() -> None:
    other = replace(SETTINGS, root=SETTINGS.root / "other")
    assert SETTINGS.container("er-1") != other.container("er-1")


def test_an_image_is_what_its_engine_says_of_it() -> None:
    config = {"Entrypoint": "sh", "Cmd": None, "Env": ["A=b=c", "D"], "Volumes": {"/v": {}}}
    config["Labels"] = {"one": "1"}
    found = facts({"Id": "1" * 64, "Config": config})
    assert (found.id, found.volumes) == (f"sha256:{'1' * 64}", ("/v",))
    assert found.labels == ("one",)
    assert (found.entrypoint, found.command) == (("sh",), ())
    assert found.env == (("A", "b=c"), ("D", ""))
    assert facts({"Id": "sha256:2", "Config": None}) == ImageFacts("sha256:2")


def test_outputs_lie_in_the_workspace_wherever_the_container_has_it() -> None:
    assert output_places("/srv/place", "out/a") == ("out/a",)
    assert output_places("sub", "a") == ("sub/a", "a")
