"""What the checks say of hosts that are well, and of those that are not."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from runner.config import Config, load
from runner.config.model import Local, MinFree, State
from runner.doctor import Finding, Verdict, addresses, mounts, state, system, tasks, worst
from runner.ports import Readiness


def test_the_worst_verdict_is_that_of_all() -> None:
    findings = [Finding("a", verdict, "") for verdict in (Verdict.OK, Verdict.WARN, Verdict.OK)]
    assert worst([]) is Verdict.OK
    assert worst(findings) is Verdict.WARN
    assert worst([*findings, Finding("b", Verdict.FAIL, "")]) is Verdict.FAIL


@pytest.mark.parametrize(
    ("finding", "verdict"),
    [
        (system.python((3, 10, 9)), Verdict.FAIL),
        (system.python((3, 11, 0)), Verdict.OK),
        (system.kernel("4.19.0-27-amd64"), Verdict.FAIL),
        (system.kernel("6.1.0-18-amd64"), Verdict.OK),
        (system.kernel("7.0-rc1"), Verdict.OK),
        (system.sqlite((3, 34, 1)), Verdict.FAIL),
        (system.sqlite((3, 40, 1)), Verdict.OK),
        (system.clock(0.0), Verdict.FAIL),
        (system.descriptors(1000, 1024), Verdict.WARN),
        (system.descriptors(4, 1024), Verdict.OK),
        (system.descriptors(10**6, -1), Verdict.OK),
    ],
)
def test_the_system(finding: Finding, verdict: Verdict) -> None:
    assert finding.verdict is verdict, finding
    assert bool(finding.remedy) is (verdict is not Verdict.OK)


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("ext4", Verdict.OK), ("tmpfs", Verdict.WARN), ("nfs4", Verdict.WARN)],
)
def test_the_file_system_of_the_state(kind: str, verdict: Verdict, tmp_path: Path) -> None:
    spaced = tmp_path / "a disk"
    spaced.mkdir()
    mounts = tmp_path / "mounts"
    point = str(spaced).replace(" ", "\\040")
    mounts.write_text(f"/dev/root / xfs rw 0 0\nwhatever {point} {kind} rw 0 0\n")
    finding = state.directory(spaced / "not" / "yet", mounts)
    assert finding.verdict is verdict
    assert kind in finding.found
    assert list(spaced.iterdir()) == []  # nothing is made


def test_a_state_directory_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert state.directory(tmp_path / "file" / "state").verdict is Verdict.FAIL


def test_too_little_room_for_new_tasks(tmp_path: Path) -> None:
    of = State(tmp_path, min_free=MinFree(size=2**62))
    assert state.room(of).verdict is Verdict.FAIL
    assert state.room(replace(of, min_free=MinFree())).verdict is Verdict.OK


def test_a_socket_that_is_free_held_or_no_socket(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    assert addresses.unix("x", path).found.endswith("is free")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        assert addresses.unix("x", path).verdict is Verdict.OK  # what a dead daemon left
        listening.listen()
        assert "a daemon is running" in addresses.unix("x", path).found
    other = tmp_path / "other"
    other.touch()
    assert addresses.unix("x", other).verdict is Verdict.FAIL


def test_a_port_that_is_free_or_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert addresses.tcp("x", address, served=False).verdict is Verdict.FAIL
        assert addresses.tcp("x", address, served=True).verdict is Verdict.OK
    assert addresses.tcp("x", address, served=False).verdict is Verdict.OK
    assert addresses.tcp("x", "192.0.2.1:80", served=True).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("name", "own", "verdict"),
    [
        ("", 0, Verdict.WARN),
        ("", 1000, Verdict.OK),
        ("no-such-user", 0, Verdict.FAIL),
        ("4711:4711", 0, Verdict.OK),
        ("4711:4711", 1000, Verdict.FAIL),
        ("root", 0, Verdict.OK),
    ],
)
def test_as_whom_tasks_run(name: str, own: int, verdict: Verdict) -> None:
    assert tasks.user(Local(user=name), own).verdict is verdict


HELD = Readiness(
    ready=True, version="0.1.0, tasks found by cgroup", level="strict", why="the best", user="2-9"
)


def verdicts(said: Readiness) -> dict[str, Verdict]:
    found = list(tasks.told(said))
    assert all(bool(each.remedy) is (each.verdict is not Verdict.OK) for each in found)
    return {each.id: each.verdict for each in found}


def test_a_host_that_holds_everything() -> None:
    every = {"keeper", "cgroups", "limits", "sandbox", "disk", "user"}
    assert verdicts(HELD) == dict.fromkeys(every, Verdict.OK)


def test_what_a_host_can_not_hold_is_told_with_why_and_a_remedy() -> None:
    lesser = replace(
        HELD, level="none", user="worker", unheld={"cpu": "no controller", "disk": "not root"}
    )
    assert verdicts(lesser) == {
        "keeper": Verdict.OK,
        "cgroups": Verdict.OK,
        "limits": Verdict.WARN,
        "sandbox": Verdict.WARN,
        "disk": Verdict.WARN,
    }
    said = " ".join(each.found for each in tasks.told(lesser))
    assert "cpu: no controller" in said
    assert "not root" in said


def test_a_directory_that_keeps_tasks_from_what_is_theirs_is_told(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert tasks._closed(closed / "not" / "yet") == closed
    assert tasks._closed(Path("/")) is None
    (sandbox,) = [each for each in tasks.told(HELD, closed) if each.id == "sandbox"]
    assert sandbox.verdict is Verdict.WARN
    assert str(closed) in sandbox.remedy


def test_a_sandbox_that_is_named_and_not_held_fails() -> None:
    why = "sandbox strict is configured and cannot be held: bubblewrap is not there"
    unready = Readiness(ready=False, problem=why)
    assert verdicts(unready)["sandbox"] is Verdict.FAIL
    assert [each.found for each in tasks.told(unready) if each.id == "sandbox"] == [why]


def test_a_keeper_that_does_not_start_or_has_no_cgroups() -> None:
    (failed,) = tasks.told(Readiness(ready=False, problem="no keeper: it did not start"))
    assert (failed.verdict, failed.id) == (Verdict.FAIL, "keeper")
    said = replace(
        HELD,
        version="0.1.0, tasks found by process group and descent",
        notes=("no cgroups (/sys/fs/cgroup: Read-only file system): traced, and killed",),
    )
    assert verdicts(said)["cgroups"] is Verdict.WARN
    assert any("Read-only file system" in each.found for each in tasks.told(said))


async def test_a_keeper_that_somebody_else_starts_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "keeper.sock"
    config = _config(ENV_RUNNER_EXECUTORS__LOCAL__KEEPER_SOCKET=str(path), **_NOT_STARTED)
    finding, _ = await tasks.examine(config)
    assert (finding.verdict, finding.id) == (Verdict.FAIL, "keeper")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        finding, _ = await tasks.examine(config)
        assert finding.verdict is Verdict.OK


_NOT_STARTED = {"ENV_RUNNER_EXECUTORS__LOCAL__START_KEEPER": "false"}


def _config(**environ: str) -> Config:
    return load(Path(os.devnull), environ, root=True)


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        ("{home}", "holds what is the runner's own ({home}/state)"),
        ("{home}/link", "has a symbolic link on the way"),
        ("/etc/ssl", "is never given to tasks"),
        ("/var", "holds what is never given to tasks"),
        ("{home}/shared/data", "may exchange what is in {home}/shared"),
        ("{home}/data", ""),
    ],
)
def test_a_granted_path_that_is_not_as_its_operator_may_think(
    granted: str, words: str, tmp_path: Path
) -> None:
    home = tmp_path.resolve()
    (home / "data").mkdir()
    (home / "shared/data").mkdir(parents=True)
    (home / "shared").chmod(0o777)
    (home / "link").symlink_to("data")
    paths = json.dumps([{"path": granted.format(home=home)}])
    variables = {
        "ENV_RUNNER_STATE__DIRECTORY": f"{home}/state",
        "ENV_RUNNER_POLICY__HOST_PATHS": paths,
        "HOME": str(home),
    }
    (finding,) = mounts.granted(load(Path(os.devnull), variables, root=False))
    assert finding.verdict is (Verdict.WARN if words else Verdict.OK)
    assert words.format(home=home) in finding.found
    assert mounts.granted(load(Path(os.devnull), {"HOME": str(home)}, root=False)) == []
