"""Whether a container may still open its GPU: what the rules of its control group come to, and what
is said where nothing can be learned of them."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.config import load
from runner.containers import Containers
from runner.doctor import Verdict, gpu_access
from runner.executors.container import device_access, gpus
from runner.executors.container.engine import Engine as Client
from runner.executors.container.executor import ContainerExecutor
from runner.executors.container.gpu_looks import GpuLooks
from runner.executors.container.images import Images
from runner.executors.container.readiness import of_docker
from runner.executors.container.records import Launched
from runner.executors.container.settings import Settings
from runner.executors.gpu_access import Access, Unseen
from runner.host import facts

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to make device nodes")

RULES = st.lists(
    st.tuples(
        st.sampled_from(["a", "c", "b"]),
        st.sampled_from(["*", "240", "1"]),
        st.sampled_from(["*", "3", "4"]),
        st.sampled_from(["rwm", "rw", "r", "m"]),
    ),
    max_size=6,
)


@ROOT
@given(rules=RULES)
def test_rules_of_the_old_kind_are_read_as_the_kernel_reads_them(
    rules: list[tuple[str, str, str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    node = tmp_path_factory.getbasetemp() / "node"
    if not node.exists():
        os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(240, 3))
    text = "".join(f"{kind} {major}:{minor} {access}\n" for kind, major, minor, access in rules)
    open_ = any(
        kind == "a"
        or (kind == "c" and major in ("*", "240") and minor in ("*", "3") and "rw" in access)
        for kind, major, minor, access in rules
    )
    assert device_access._shut_by(text, [str(node)]) == ([] if open_ else [str(node)])


def test_of_a_container_that_has_ended_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    assert device_access.problem("abc", 7, ["/dev/null"], tmp_path, tmp_path) == ""
    grouped(tmp_path, "3:devices:/docker/abc")
    assert device_access.problem("abc", 7, ["/dev/null"], tmp_path, tmp_path) == ""


def grouped(proc: Path, *lines: str) -> None:
    """Let process 7 be in these control groups."""
    (proc / "7").mkdir(exist_ok=True)
    (proc / "7/cgroup").write_text("".join(f"{line}\n" for line in lines))


def test_where_others_processes_are_hidden_no_container_counts_as_ended(tmp_path: Path) -> None:
    with pytest.raises(Unseen, match="ProtectProc=default"):
        device_access.problem("abc", 7, ["/dev/null"], tmp_path, tmp_path)


def test_without_root_nothing_is_learned_of_a_group_of_the_new_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 64_003)
    grouped(tmp_path, "0::/system.slice/docker-abc.scope")
    with pytest.raises(Unseen, match="only root can try"):
        device_access.problem("abc", 7, ["/dev/null"], tmp_path, tmp_path)


def test_a_group_that_is_not_the_containers_is_not_asked_for_it(tmp_path: Path) -> None:
    grouped(tmp_path, "3:devices:/", "0::/")
    with pytest.raises(Unseen, match="cannot be found"):
        device_access.problem("abc", 7, ["/dev/null"], tmp_path, tmp_path)


def test_rules_that_cannot_be_read_are_no_answer(tmp_path: Path) -> None:
    grouped(tmp_path, "3:devices:/docker/abc")
    (tmp_path / "devices/docker/abc/devices.list").mkdir(parents=True)
    with pytest.raises(Unseen, match="cannot be asked"):
        device_access.problem("abc", 7, ["/dev/null"], tmp_path, tmp_path)


async def test_what_cannot_be_checked_is_said_once_and_of_a_container_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[dict[str, object]] = []
    executor = an_executor(tmp_path, lambda event, **fields: notes.append({event: fields}))
    runs(executor, monkeypatch, [7, 0, 7, 7, 7, 7])
    assert await executor.gpu_problem("er-1") == ""
    assert notes == []  # it had ended meanwhile, which looks alike
    for _ in range(2):
        assert await executor.gpu_problem("er-1") == ""
    said = {"level": "warning", "executor": "docker", "problem": "only root can try them"}
    assert notes == [{"GPUs of containers not checked": said}]
    executor._attempts.clear()
    await executor.close()


async def test_what_this_process_may_not_see_whoever_may_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    notes: list[dict[str, object]] = []
    asked: list[tuple[str, int, tuple[str, ...]]] = []
    answers: list[Access | Unseen] = []

    async def beyond(container: str, pid: int, nodes: Sequence[str]) -> Access:
        asked.append((container, pid, tuple(nodes)))
        answer = answers.pop(0)
        if isinstance(answer, Unseen):
            raise answer
        return answer

    async def pid() -> int:
        return 7

    def unseen(*_: object) -> str:
        raise Unseen("only root can")

    for name in ("difference", "problem"):
        monkeypatch.setattr(gpus if name == "difference" else device_access, name, unseen)
    looks = GpuLooks("docker", lambda event, **fields: notes.append({event: fields}), beyond)
    answers += [Access(frozenset({3}), ()), Access(frozenset({1, 3}), ()), Access(frozenset(), ())]
    assert await looks.difference("abc", 7, [3]) == ""
    assert "sees ['/dev/nvidia1', '/dev/nvidia3']" in await looks.difference("abc", 7, [3])
    assert await looks.difference("abc", 7, []) == ""  # there is no driver: nobody is asked
    assert "sees no GPU" in await looks.difference("abc", 7, [3])
    assert asked == [("abc", 7, ())] * 3
    answers += [Access(frozenset({3}), ()), Access(frozenset({3}), ("/dev/nvidia3",))]
    assert await looks.problem("abc", [3], pid, kept=False) == ""
    assert "may open /dev/nvidia3 no more" in await looks.problem("abc", [3], pid, kept=False)
    assert asked[-1] == ("abc", 7, ("/dev/nvidia3",))
    assert notes == []
    answers += [Unseen("it is not root")] * 3
    for _ in range(2):
        assert await looks.problem("abc", [3], pid, kept=False) == ""
    assert await looks.difference("abc", 7, [3]) == ""
    why = "only root can; nor can the keeper: it is not root"
    said = {"level": "warning", "executor": "docker", "problem": why}
    assert notes == [{"GPUs of containers not checked": said}]


async def test_where_systemd_has_no_part_in_the_group_nothing_is_amiss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    executor = an_executor(tmp_path, lambda event, **_fields: notes.append(event))
    executor._known = of_docker({}, {"CgroupVersion": "2", "CgroupDriver": "cgroupfs"})
    runs(executor, monkeypatch, [7, 7])
    assert await executor.gpu_problem("er-1") == ""
    assert notes == []
    executor._attempts.clear()
    await executor.close()


def runs(executor: ContainerExecutor, patch: pytest.MonkeyPatch, pids: list[int]) -> None:
    """Let it have an attempt with a GPU, whose first process is the next of `pids` each time that
    the engine is asked, and of which nothing can be seen."""
    launched = Launched("er-1", "abc", "boot", None, None, 1.0, 1, 1, "1:1", gpus=[3])
    executor._attempts["er-1"] = (SimpleNamespace(launched=launched), None)  # type: ignore[assignment]

    async def state(_container: str) -> SimpleNamespace:
        return SimpleNamespace(pid=pids.pop(0))

    def unseen(*_: object) -> str:
        raise Unseen("only root can try them")

    patch.setattr(executor._containers, "state", state)
    patch.setattr(device_access, "problem", unseen)


def an_executor(root: Path, note: Callable[..., None]) -> ContainerExecutor:
    settings = Settings("docker", "/nowhere", root, "test", "1:1")
    return ContainerExecutor(settings, Client("docker", "/nowhere"), cast("Images", None), note)


async def test_the_executors_of_containers_are_told_who_may_look(tmp_path: Path) -> None:
    async def beyond(_container: str, _pid: int, _nodes: Sequence[str]) -> Access:
        raise Unseen

    config = load(None, {"ENV_RUNNER_STATE__DIRECTORY": str(tmp_path)})
    assert config.containers
    for name in config.containers:
        made = Containers(config, facts(), print, lambda *_: None, beyond=beyond)._maker(name)()
        assert made._gpus._beyond is beyond
        await made.close()


@pytest.mark.parametrize(
    ("version", "driver", "root", "verdict"),
    [
        (2, "systemd", True, Verdict.OK),
        (1, "systemd", False, Verdict.OK),
        (2, "cgroupfs", False, Verdict.OK),
        (2, "systemd", False, Verdict.WARN),
        (0, "", False, Verdict.WARN),
    ],
)
def test_doctor_says_where_a_container_may_lose_its_gpu_unnoticed(
    version: int,
    driver: str,
    root: bool,  # noqa: FBT001 - a case
    verdict: Verdict,
) -> None:
    found = gpu_access.judged("docker", version, driver, root=root)
    assert (found.id, found.verdict) == ("gpu.docker.access", verdict)
    assert bool(found.remedy) is (verdict is Verdict.WARN)


def test_whose_the_keeper_is_is_asked_of_its_socket(nothing_is_left: Path) -> None:
    path = nothing_is_left / "k"
    config = load(None, {"ENV_RUNNER_EXECUTORS__LOCAL__KEEPER_SOCKET": str(path)})
    assert gpu_access.keepers_user(config) == -1
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        assert gpu_access.keepers_user(config) == os.geteuid()
    path.unlink()
