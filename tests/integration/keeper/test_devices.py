"""GPUs' device nodes: a task has those of its lease and no others, at every level, and nobody makes
the keeper give out anything else of /dev."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runner.domain.failure import Fault
from runner.domain.plan import Mode, Plan
from runner.domain.task import TaskClass
from runner.executors.local import LocalExecutor
from runner.keeper import device_rules, records
from runner.keeper.ahead import PREFIX
from runner.keeper.cgroups import Cgroups, Unavailable
from runner.keeper.devices import majors
from runner.ports import Launch, LaunchFailed
from tests.support.gpu_ports import gpu
from tests.support.keeper_client import Client, Keeper, Refusal, eventually
from tests.support.nodes import MAJOR, Nodes
from tests.support.rig import LIMITS
from tests.support.users import DAEMON_UID, reason_against_users

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to make device nodes"),
    pytest.mark.skipif(
        not Path("/usr/bin/bwrap").exists(),
        reason="there is no bubblewrap: apt-get install bubblewrap",
    ),
]

POOL = ("--task-users", "2100000000-2100000009", "--allow-none")
LEVELS = ["strict", "standard", "none"]
SHARED = ["/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]
PROBE = """
import errno, os
for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "null"):
    try:
        os.close(os.open("/dev/" + name, os.O_RDWR))
        print(name, "open" if name == "null" else "reached")
    except OSError as error:
        refused = error.errno in (errno.EPERM, errno.EACCES, errno.ENOENT)
        print(name, errno.errorcode[error.errno] if refused else "reached")
"""
# Whoever drives them, or nobody: see `nodes`.
OPEN, SHUT, ABSENT = "reached", "EPERM", "ENOENT"


@pytest.fixture
def nodes(home: Path) -> Nodes:
    place = home / "dev"
    place.mkdir()
    return Nodes(place).gpus(2)


@pytest.fixture
def keeper(home: Path, nodes: Nodes) -> Iterator[Keeper]:
    found = Keeper(home / "root", *POOL, sandboxed=True, prefix=nodes.prefix)
    yield found
    found.close()


def held() -> bool:
    """Whether a group can have rules for devices here."""
    try:
        groups = Cgroups(f"/nowhere/{os.getpid()}")
    except Unavailable:
        return False
    groups.close()
    return not groups.devices


def seen(client: Client, keeper: Keeper, name: str, level: str, devices: list[str]) -> Any:
    """What a task can open, by the node's name."""
    words: dict[str, Any] = {"devices": devices} if devices else {}
    argv = ("/usr/bin/python3", "-S", "-c", PROBE)
    reply = client.launch(name, *argv, level=level, **words)
    assert reply["state"] == "running", reply
    assert client.end(name)["code"] == 0
    return dict(line.split() for line in keeper.stdout(name).decode().splitlines())


@pytest.mark.parametrize("level", LEVELS)
def test_a_task_opens_the_devices_of_its_lease_and_no_others(keeper: Keeper, level: str) -> None:
    client = keeper.client()
    other = ABSENT if level == "strict" else SHUT if held() else OPEN
    found = seen(client, keeper, "one", level, ["/dev/nvidia1", *SHARED])
    assert found == {
        "nvidia0": other,
        "nvidia1": OPEN,
        "nvidiactl": OPEN,
        "nvidia-uvm": OPEN,
        "nvidia-uvm-tools": OPEN,
        "null": "open",
    }


@pytest.mark.parametrize("level", LEVELS)
def test_a_task_without_a_lease_opens_none(keeper: Keeper, level: str) -> None:
    client = keeper.client()
    none = ABSENT if level == "strict" else SHUT if held() else OPEN
    for number in range(3):  # the first one's ground is its own, a later one's was made ahead
        found = seen(client, keeper, f"none-{number}", level, [])
        assert found.pop("null") == "open"
        assert set(found.values()) == {none}


@pytest.mark.parametrize("level", LEVELS)
def test_who_has_a_lease_and_who_has_none_take_turns(keeper: Keeper, level: str) -> None:
    client = keeper.client()
    for number in range(3):
        mine = f"/dev/nvidia{number % 2}"
        found = seen(client, keeper, f"with-{number}", level, [mine, *SHARED])
        assert found[mine.removeprefix("/dev/")] == OPEN
        found = seen(client, keeper, f"without-{number}", level, [])
        if level == "strict" or held():
            assert OPEN not in found.values()


def test_in_the_sandbox_there_is_no_other_node_at_all(keeper: Keeper) -> None:
    client = keeper.client()
    for name, devices in (("none", []), ("one", ["/dev/nvidia0", *SHARED])):
        words: dict[str, Any] = {"devices": devices} if devices else {}
        client.launch(name, "sh", "-c", "cd /dev; ls -d nvidia*", level="strict", **words)
        client.end(name)
        there = keeper.stdout(name).decode().split()
        assert [f"/dev/{each}" for each in there] == sorted(devices)


@pytest.mark.skipif(not held(), reason="cannot here: no rules for devices (BPF)")
def test_what_a_task_forks_and_a_reload_change_nothing(keeper: Keeper) -> None:
    client = keeper.client()
    probe = PROBE.replace("\n", "\n ")
    script = f"import os, sys\nos.fork() or os.setsid()\nsys.stdin.read()\nif 1:\n {probe}"
    waiting = f"while [ ! -e go ]; do sleep 0.01; done; exec /usr/bin/python3 -S -c '{script}'"
    client.launch("a", "sh", "-c", f"echo up; {waiting}", level="none")
    keeper.says("a", b"up")
    client.send("reload")
    eventually(lambda: "reloaded, with" in keeper.log.read_text(), "it is reloaded")
    again = keeper.client(2)
    (keeper.root / "a/disk/workspace/go").touch()
    assert again.end("a")["code"] == 0
    said = keeper.stdout("a").decode()
    assert f"nvidia0 {SHUT}" in said
    assert OPEN not in said


def test_the_record_of_a_launch_says_which_it_was_given(keeper: Keeper) -> None:
    client = keeper.client()
    seen(client, keeper, "a", "strict", ["/dev/nvidia1", "/dev/nvidiactl"])
    directory = os.open(keeper.root / "a", os.O_RDONLY)
    record = records.read(directory, records.LAUNCH)
    os.close(directory)
    assert record is not None
    assert record["devices"] == ["/dev/nvidia1", "/dev/nvidiactl"]


FOREIGN = {
    "another driver's": (stat.S_IFCHR, 1, 1),  # the host's memory
    "a block device": (stat.S_IFBLK, MAJOR, 0),
    "a file": (stat.S_IFREG, 0, 0),
    "a FIFO": (stat.S_IFIFO, 0, 0),
    "a link": (stat.S_IFLNK, 0, 0),
}


@pytest.mark.parametrize("what", FOREIGN)
@pytest.mark.parametrize("level", LEVELS)
def test_what_only_has_the_name_of_a_gpu_is_given_to_nobody(
    home: Path, nodes: Nodes, what: str, level: str
) -> None:
    nodes.files["nvidia7"] = FOREIGN[what]
    keeper = Keeper(home / "root", *POOL, sandboxed=True, prefix=nodes.prefix)
    try:
        client = keeper.client()
        with pytest.raises(Refusal, match="no device of the NVIDIA driver") as refusal:
            client.launch("a", "true", level=level, devices=["/dev/nvidia7"])
        assert refusal.value.code == "BAD_DEVICE"
        assert client.ask("list")["names"] == []
    finally:
        keeper.close()


@pytest.mark.parametrize("path", ["/dev/sda", "/dev/mem", "/dev/nvidia0/../mem", "/dev/null"])
def test_no_other_device_can_even_be_named(keeper: Keeper, path: str) -> None:
    with pytest.raises(Refusal, match="devices has no such value"):
        keeper.client().launch("a", "true", level="strict", devices=[path])


def test_a_node_that_is_not_there_is_named_with_what_to_do(home: Path, nodes: Nodes) -> None:
    del nodes.files["nvidia-uvm"], nodes.files["nvidia-uvm-tools"]
    keeper = Keeper(home / "root", *POOL, sandboxed=True, prefix=nodes.prefix)
    try:
        client = keeper.client()
        with pytest.raises(Refusal, match="nvidia-modprobe"):
            client.launch("a", "true", level="strict", devices=["/dev/nvidia0", *SHARED])
        needed = ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm-tools"]
        found = seen(client, keeper, "b", "strict", needed)  # profilers do without
        assert (found["nvidia0"], found["nvidia-uvm-tools"]) == (OPEN, ABSENT)
    finally:
        keeper.close()


@pytest.mark.skipif(bool(majors()), reason="cannot here: this host has a driver")
def test_on_a_host_without_a_driver_no_node_is_a_gpus(home: Path) -> None:
    keeper = Keeper(home / "root", *POOL, sandboxed=True)
    try:
        with pytest.raises(Refusal):
            keeper.client().launch("a", "true", level="strict", devices=["/dev/nvidia0"])
    finally:
        keeper.close()


def test_what_cannot_be_held_is_said(home: Path, nodes: Nodes) -> None:
    keeper = Keeper(home / "root", "--no-cgroups", *POOL, sandboxed=True, prefix=nodes.prefix)
    try:
        client = keeper.client()
        assert client.welcome["devices"] == "there are no cgroups here"
        assert any("by CUDA_VISIBLE_DEVICES alone" in note for note in client.welcome["notes"])
        # the sandbox needs no group for it
        found = seen(client, keeper, "a", "strict", ["/dev/nvidia1"])
        assert (found["nvidia0"], found["nvidia1"]) == (ABSENT, OPEN)
    finally:
        keeper.close()


@pytest.mark.skipif(bool(reason_against_users()), reason=reason_against_users())
def test_a_keeper_of_an_ordinary_user_gives_out_devices_in_the_sandbox_alone(
    home: Path, nodes: Nodes
) -> None:
    nodes.user = DAEMON_UID
    os.chown(home, DAEMON_UID, DAEMON_UID)
    keeper = Keeper(home / "root", sandboxed=True, user=DAEMON_UID, prefix=nodes.prefix)
    try:
        client = keeper.client()
        if why := client.welcome["levels"]["strict"]:
            pytest.skip(f"cannot here: {why}")
        assert client.welcome["devices"]
        found = seen(client, keeper, "one", "strict", ["/dev/nvidia1", *SHARED])
        assert (found["nvidia0"], found["nvidia1"], found["nvidia-uvm"]) == (ABSENT, OPEN, OPEN)
        assert set(seen(client, keeper, "none", "strict", []).values()) == {ABSENT, "open"}
    finally:
        keeper.close()


@pytest.mark.parametrize("level", LEVELS)
async def test_a_lease_becomes_the_devices_of_its_task(keeper: Keeper, level: str) -> None:
    executor = LocalExecutor(keeper.root, epoch=1, start_keeper=False, journal_id="j")
    said = await executor.probe()
    assert said.gpus_open == ("" if held() else keeper.client().welcome["devices"])
    plan = Plan(
        Mode.NATIVE,
        "local",
        ("/usr/bin/python3", "-S", "-c", PROBE),
        LIMITS,
        network="none" if level == "strict" else "host",
        level=level,
        unheld=tuple(said.unheld),
    )
    request = Launch("a", "t", 1, TaskClass.GPU, plan, {}, gpus=(gpu(1),))
    try:
        started = await executor.launch(request)
        assert (await executor.wait(started.handle)).code == 0
        found = dict(line.split() for line in keeper.stdout("a").decode().splitlines())
        assert found["nvidia1"] == found["nvidia-uvm"] == OPEN
        assert found["nvidia0"] == (ABSENT if level == "strict" else SHUT if held() else OPEN)
        lost = replace(request, name="b", gpus=(gpu(5),))
        with pytest.raises(LaunchFailed, match="there is no /dev/nvidia5") as failed:
            await executor.launch(lost)
        assert failed.value.failure.fault is Fault.SYSTEM
        await executor.remove("a")
    finally:
        await executor.close()


@pytest.mark.skipif(not held(), reason="cannot here: no rules for devices (BPF)")
def test_the_trial_fails_where_the_rules_say_nothing_of_the_device() -> None:
    groups = Cgroups(f"/nowhere/{os.getpid()}")
    try:
        membership = groups.create("trial")
        assert not device_rules.holds(membership.directory, "/dev/null", [MAJOR])
        assert device_rules.holds(membership.directory, "/dev/null", [MAJOR, 1])
        membership.close()
        groups.remove("trial")
    finally:
        groups.close()


@pytest.mark.parametrize("level", LEVELS)
def test_the_next_task_of_a_device_has_what_was_made_ahead_and_no_other_task_has(
    keeper: Keeper, level: str
) -> None:
    client = keeper.client()
    leases = [[f"/dev/nvidia{number}", *SHARED] for number in range(2)]
    seen(client, keeper, "first", level, leases[0])
    eventually(lambda: bool(list(keeper.root.glob(f"{PREFIX}*"))), "another ground is made")
    (ground,) = keeper.root.glob(f"{PREFIX}*")
    inode = ground.stat().st_ino
    for name, lease in (("other", leases[1]), ("none", [])):
        seen(client, keeper, name, level, lease)
        assert ground.exists()
    found = seen(client, keeper, "next", level, leases[0])
    assert (keeper.root / "next").stat().st_ino == inode
    assert found["nvidia0"] == OPEN
    assert found["nvidia1"] == (ABSENT if level == "strict" else SHUT if held() else OPEN)
