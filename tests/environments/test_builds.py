"""What comes of a build: real uv, a real keeper, packages of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from dataclasses import replace

import pytest

from runner.domain.failure import Fault, Reason
from runner.environments import tree
from runner.ports import LaunchFailed
from tests.support import wheels
from tests.support.environments import Site, reachable_index
from tests.support.waiting import until


async def failure(site: Site, *needed: str) -> LaunchFailed:
    with pytest.raises(LaunchFailed) as failed:
        await site.environment(*needed)
    assert failed.value.failure.reason is Reason.ENVIRONMENT
    assert [path.name for path in site.keeper.iterdir() if "environment" in path.name] == []
    return failed.value


async def test_a_task_finds_what_it_asked_for(site: Site) -> None:
    program = "import beta, alpha; print(beta.X, alpha.__file__)"
    code, said = await site.run(program, "beta")
    assert (code, said.split()[0]) == (0, "1.0")
    assert said.split()[1].startswith(
        "/environment/lib" if site.level == "strict" else f"{site.store}/trees"
    )


async def test_what_is_missing_is_told_with_the_last_words_of_uv(open_site: Site) -> None:
    failed = await failure(open_site, "nosuch")
    assert (failed.failure.fault, failed.failure.retryable) == (Fault.TASK, False)
    assert "nosuch was not found" in failed.failure.message
    assert failed.log.startswith(b"env-runner: building the environment (nosuch)\n")
    assert b"nosuch was not found" in failed.log


async def test_what_contradicts_itself_is_told(open_site: Site) -> None:
    failed = await failure(open_site, "beta", "alpha>=2")
    assert failed.failure.fault is Fault.TASK
    assert "beta depend on alpha<2" in failed.failure.message
    assert failed.failure.message.count("\n") == 0


async def test_an_extension_in_c_is_loaded(strict_site: Site) -> None:
    if why := wheels.extension(strict_site.house, strict_site.python.path, strict_site.root):
        pytest.skip(why)
    code, said = await strict_site.run("import native; print(native.answer())", "native")
    assert (code, said) == (0, "42\n")


async def test_a_source_is_not_built_unless_that_is_configured(open_site: Site) -> None:
    marker = open_site.root / "built"
    wheels.source(open_site.house, "delta", "1.0", f"open({str(marker)!r}, 'w')")
    failed = await failure(open_site, "delta")
    assert failed.failure.fault is Fault.TASK
    assert "delta" in failed.failure.message
    assert not marker.exists()
    open_site.changes["source_builds"] = True
    await open_site.reopen()
    code, said = await open_site.run("import delta; print(delta.X)", "delta")
    assert (code, said, marker.exists()) == (0, "from source\n", True)


async def test_a_build_is_ended_when_its_time_is_over(open_site: Site) -> None:
    wheels.source(open_site.house, "slow", "1.0", "import time; time.sleep(600)")
    open_site.changes.update(source_builds=True, timeout=2.0)
    await open_site.reopen()
    failed = await failure(open_site, "slow")
    assert "did not end within 2 s" in failed.failure.message
    assert failed.failure.retryable


async def test_an_index_that_never_answers_holds_up_no_longer_than_a_build_may(
    open_site: Site,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        open_site.changes.update(
            index=f"http://127.0.0.1:{port}/simple", login="me:se%cret", timeout=2.0
        )
        await open_site.reopen()
        failed = await failure(open_site, "alpha")
    assert "did not end within 2 s" in failed.failure.message


async def test_an_index_out_of_reach_is_the_systems_fault_and_its_login_is_never_told(
    open_site: Site,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    open_site.changes.update(index=f"http://127.0.0.1:{port}/simple", login="me:se%cret/1")
    await open_site.reopen()
    failed = await failure(open_site, "alpha")
    assert (failed.failure.fault, failed.failure.retryable) == (Fault.SYSTEM, True)
    told = failed.failure.message + failed.log.decode() + repr(open_site.notes)
    assert "Connect" in told or "refused" in told
    for secret in ("se%cret", "se%25cret", "secret"):
        assert secret not in told


async def test_an_environment_over_its_size_is_refused(open_site: Site) -> None:
    wheels.wheel(open_site.house, "large", "1.0", {"large.py": f"X = '{'x' * 3_000_000}'"})
    open_site.changes["size"] = 2_000_000
    await open_site.reopen()
    failed = await failure(open_site, "large")
    assert "larger than" in failed.failure.message
    assert "python.size" in failed.failure.message
    assert open_site.trees() == []


@pytest.mark.root
async def test_a_build_has_the_limits_that_are_configured(strict_site: Site) -> None:
    wheels.source(strict_site.house, "greedy", "1.0", "x = bytearray(400 << 20)")
    strict_site.changes.update(source_builds=True, memory=200 << 20, disk=64 << 20)
    await strict_site.reopen()
    if "memory" in strict_site.unheld:
        pytest.skip("cannot here: nobody holds memory")
    failed = await failure(strict_site, "greedy")
    assert "python.build_memory" in failed.failure.message
    assert failed.failure.fault is Fault.TASK


async def test_a_build_in_the_sandbox_sees_no_network_and_nothing_of_the_host(
    strict_site: Site,
) -> None:
    looks = (
        "import socket, json; print(json.dumps([os.listdir('/'), "
        "[name for _, name in socket.if_nameindex()], sorted(os.environ)])); "
        "raise SystemExit(1)"
    )
    wheels.source(strict_site.house, "nosy", "1.0", looks)
    strict_site.changes["source_builds"] = True
    await strict_site.reopen()
    log = (await failure(strict_site, "nosy")).log.decode()
    line = next(line for line in log.splitlines() if "environment" in line and '"lo"' in line)
    assert "root" not in line
    assert "home" not in line
    assert str(strict_site.root) not in line
    assert "UV_DEFAULT_INDEX" not in line


async def test_no_settings_of_the_host_count(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = open_site.root / "elsewhere"
    elsewhere.mkdir()
    wheels.wheel(elsewhere, "epsilon", "1.0", {"epsilon.py": ""})
    monkeypatch.setenv("UV_FIND_LINKS", str(elsewhere))
    monkeypatch.setenv("PIP_FIND_LINKS", str(elsewhere))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(elsewhere))
    (elsewhere / "uv").mkdir()
    (elsewhere / "uv/uv.toml").write_text(f'find-links = ["{elsewhere}"]\n')
    await open_site.reopen()
    assert "epsilon was not found" in (await failure(open_site, "epsilon")).failure.message


async def test_without_uv_the_failure_says_what_to_install(open_site: Site) -> None:
    open_site.changes["uv"] = "/nowhere/uv"
    await open_site.reopen()
    failed = await failure(open_site, "alpha")
    assert "uv" in failed.failure.message
    assert failed.failure.fault is Fault.SYSTEM


async def test_nobody_may_write_to_an_environment(site: Site) -> None:
    await site.environment("beta")
    [tree] = site.trees()
    compiled = [path for path in tree.rglob("*.pyc") if "site-packages" in str(path)]
    assert {path.name.partition(".")[0] for path in compiled} == {"__init__", "a", "beta"}
    for path in (tree, *tree.rglob("*")):
        about = path.lstat()
        assert about.st_uid == os.geteuid()
        assert stat.S_ISLNK(about.st_mode) or not about.st_mode & 0o222, path


async def test_a_build_that_nobody_waits_for_any_more_is_stopped_and_its_slot_is_free(
    open_site: Site,
) -> None:
    wheels.source(open_site.house, "slow", "1.0", "import time; time.sleep(600)")
    open_site.changes.update(source_builds=True, at_once=1)
    await open_site.reopen()
    request = open_site.request("true")
    left = asyncio.Event()
    request = replace(request, wanted=lambda: not left.is_set())
    asked = open_site.ask(request, "slow")
    await until(lambda: any(open_site.keeper.glob("environment-*/launch.json")), "it is built")
    left.set()
    with pytest.raises(LaunchFailed) as failed:
        await asked
    assert failed.value.failure.reason is Reason.START
    await open_site.environment("alpha")
    assert list(open_site.keeper.glob("environment-*")) == []
    assert open_site.builds() == 1


async def test_what_is_asked_for_again_while_its_build_is_stopped_is_built_anew(
    open_site: Site,
) -> None:
    with pytest.raises(LaunchFailed):
        await open_site.ask(open_site.request("true", wanted=False), "alpha")
    await asyncio.wait_for(open_site.environment("alpha"), 60)
    assert open_site.builds() == 1


async def test_a_wheel_house_that_is_not_there_is_the_systems_fault(site: Site) -> None:
    site.changes["wheel_houses"] = (str(site.house), "/nowhere/wheels")
    await site.reopen()
    failed = await failure(site, "alpha")
    assert (failed.failure.fault, failed.failure.retryable) == (Fault.SYSTEM, True)
    assert "wheel house 2 of python.wheel_houses is not there" in failed.failure.message
    assert "/nowhere" not in failed.failure.message


@pytest.mark.parametrize("code", [401, 403])
async def test_an_index_that_wants_another_login_is_the_systems_fault(
    open_site: Site, code: int
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        answer = f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(answer.encode())
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as index:
        port = index.sockets[0].getsockname()[1]
        open_site.changes["index"] = f"http://127.0.0.1:{port}/simple"
        await open_site.reopen()
        failed = await failure(open_site, "nosuch")
    assert (failed.failure.fault, failed.failure.retryable) == (Fault.SYSTEM, True), failed


async def test_where_it_cannot_be_kept_the_log_of_its_build_is_shown(
    open_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tree, "unpack", full)
    failed = await failure(open_site, "alpha")
    assert (failed.failure.fault, failed.failure.retryable) == (Fault.SYSTEM, True)
    assert "(python.directory): No space left on device" in failed.failure.message
    assert b"Installed 1 package" in failed.log
    [(event, told)] = open_site.notes
    assert (event, told["path"]) == ("environment not built", str(open_site.store))


async def test_numpy_comes_from_an_index(open_site: Site) -> None:
    index = reachable_index()
    if not index:
        pytest.skip("cannot here: pip's index of packages is out of reach")
    open_site.changes["index"] = index
    await open_site.reopen()
    code, said = await open_site.run("import numpy; print(numpy.arange(3).sum())", "numpy>=2,<3")
    assert (code, said) == (0, "3\n")


async def test_no_code_of_a_wheel_runs_for_its_installation(open_site: Site) -> None:
    marker = open_site.root / "ran"
    run = f"import pathlib; pathlib.Path({str(marker)!r}).touch()"
    files = {"hook.pth": run, "sitecustomize.py": run, "hook.py": run, "usercustomize.py": run}
    wheels.wheel(open_site.house, "hook", "1.0", files)
    await open_site.environment("hook", "alpha")
    assert not marker.exists()
    assert (await open_site.run("pass", "hook", "alpha"))[0] == 0
    assert marker.exists()  # as of any task that asked for it


async def test_a_wheel_that_leads_out_of_its_environment_writes_nothing(open_site: Site) -> None:
    evil = open_site.root / "evil.py"
    up = "../" * 12 + str(evil).lstrip("/")
    for number, inside in enumerate((up, str(evil), "../../../../evil.py")):
        wheels.wheel(open_site.house, f"evil{number}", "1.0", {inside: "x = 1", "ok.py": ""})
        with contextlib.suppress(LaunchFailed):
            await open_site.environment(f"evil{number}")
        assert not evil.exists()
    assert [path for path in open_site.store.rglob("evil.py") if "trees" not in path.parts] == []
