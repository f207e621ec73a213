"""A keeper that is root looks for the daemon at what a container sees of GPUs and may open: in the
container's own control group, at nodes of GPUs, and at nothing else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.executors.gpu_access import Access, Unseen
from runner.executors.local import LocalExecutor
from runner.keeper import cgroups_tree as tree
from runner.keeper import device_rules
from runner.keeper.devices import majors
from tests.support.keeper_client import Client, Keeper, Refusal, eventually
from tests.support.nodes import MAJOR, Nodes
from tests.support.users import DAEMON_UID, reason_against_users

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to make device nodes"),
]

CONTAINER = "0123456789abcdef" * 4
NODES = ["/dev/nvidia0", "/dev/nvidia1"]


@pytest.fixture
def nodes(home: Path) -> Nodes:
    place = home / "dev"
    place.mkdir()
    return Nodes(place).gpus(2)


@pytest.fixture
def keeper(home: Path, nodes: Nodes) -> Iterator[Keeper]:
    found = Keeper(home / "root", prefix=nodes.prefix)
    yield found
    found.close()


@pytest.fixture
def group() -> Iterator[Path]:
    """The control group of a container, by its name."""
    own = tree.own_directories().get(tree.V2)
    if own is None:
        pytest.skip("cannot here: no cgroup v2")
    made = Path(own) / f"docker-{CONTAINER}.scope"
    made.mkdir()
    yield made
    made.rmdir()


@contextlib.contextmanager
def inside(group: Path | None, *prefix: str) -> Iterator[int]:
    """A process that is in the group, with the /dev that the prefix makes; its pid."""
    wait = [sys.executable, "-c", "print(flush=True); input()"]
    with subprocess.Popen(
        [*prefix, *wait], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if group is not None:
            (group / "cgroup.procs").write_text(str(process.pid))
        try:
            yield process.pid
        finally:
            process.kill()


def shut(group: Path) -> None:
    """As `systemctl daemon-reload` leaves the group."""
    directory = os.open(group, os.O_RDONLY)
    try:
        device_rules.attach(directory, device_rules.Rules((MAJOR,), ((MAJOR, 1),)))
    except OSError as error:
        pytest.skip(f"cannot here: no rules for devices: {error}")
    finally:
        os.close(directory)


def code(client: Client, **fields: object) -> str:
    with pytest.raises(Refusal) as refused:
        client.ask("access", **{"container": CONTAINER, "devices": NODES, **fields})
    return refused.value.code


def test_what_a_container_sees_and_may_open_no_more_is_told(
    keeper: Keeper, nodes: Nodes, group: Path
) -> None:
    client = keeper.client()
    with inside(group, *nodes.prefix) as pid:
        words = {"container": CONTAINER, "pid": pid}
        found = client.ask("access", devices=NODES, **words)
        assert (found["seen"], found["shut"], found["why"]) == ([0, 1], [], "")
        shut(group)
        assert client.ask("access", devices=NODES, **words)["shut"] == ["/dev/nvidia0"]
        assert client.ask("access", devices=[], **words)["seen"] == [0, 1]
        asked = [client.send("access", devices=NODES, **words) for _ in range(20)]  # at once
        told = [client.receive() for _ in asked]
        assert [each["id"] for each in told] == asked
        assert {tuple(each["shut"]) for each in told} == {("/dev/nvidia0",)}
        assert (group / "cgroup.procs").read_text().split() == [str(pid)]
    eventually(lambda: not (group / "cgroup.procs").read_text(), "nobody is left in it")


def test_a_container_that_sees_no_gpu_is_told_to_see_none(keeper: Keeper, group: Path) -> None:
    if majors():
        pytest.skip("cannot here: this host has a driver")
    with inside(group) as pid:
        found = keeper.client().ask("access", container=CONTAINER, pid=pid, devices=[])
        assert (found["seen"], found["shut"]) == ([], [])


def test_no_other_group_and_no_other_device_is_tried(keeper: Keeper, group: Path) -> None:
    client = keeper.client()
    with inside(None) as stranger, inside(group) as pid:
        assert code(client, pid=stranger) == "REFUSED"
        assert code(client, pid=pid, container=CONTAINER[::-1]) == "REFUSED"
        assert code(client, pid=pid, devices=["/dev/nvidia7"]) == "REFUSED"
        for path in ("/dev/null", "/dev/sda", "/dev/../dev/nvidia0"):
            assert code(client, pid=pid, devices=[path]) == "BAD_VALUE"
        for container in ("", "docker", CONTAINER[:12], f"{CONTAINER}/.."):
            assert code(client, pid=pid, container=container) == "BAD_VALUE"
    assert code(client, pid=pid) == "ABSENT"


async def test_the_daemon_asks_its_keeper(keeper: Keeper, nodes: Nodes, group: Path) -> None:
    local = LocalExecutor(keeper.root, start_keeper=False)
    try:
        with inside(group, *nodes.prefix) as pid:
            shut(group)
            access = await local.look_into(CONTAINER, pid, NODES)
            assert access == Access(frozenset({0, 1}), ("/dev/nvidia0",))
        with pytest.raises(Unseen, match="has ended"):
            await local.look_into(CONTAINER, pid, NODES)
    finally:
        await local.close()


@pytest.mark.skipif(bool(reason_against_users()), reason=reason_against_users())
async def test_a_keeper_without_privilege_says_that_it_cannot(home: Path, nodes: Nodes) -> None:
    nodes.user = DAEMON_UID
    os.chown(home, DAEMON_UID, DAEMON_UID)
    keeper = Keeper(home / "root", user=DAEMON_UID, prefix=nodes.prefix)
    local = LocalExecutor(keeper.root, start_keeper=False)
    try:
        with pytest.raises(Unseen, match="not root"):
            await local.look_into(CONTAINER, os.getpid(), NODES)
    finally:
        await local.close()
        keeper.close()
