"""Programs that are confined without a sandbox: nothing to gain, and fewer system calls."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from runner.keeper import seccomp, spawn
from tests.support.users import TASK_UID

USER = (TASK_UID, TASK_UID) if os.geteuid() == 0 else None


def run(argv: list[str], *, confined: bool) -> tuple[int, str]:
    """The raw status of a program that spawn.py started, and what it wrote."""
    reading, writing = os.pipe()
    null, directory = os.open("/dev/null", os.O_RDONLY), os.open("/", os.O_RDONLY)
    calls = seccomp.program() if confined else b""
    env = {"PATH": "/usr/bin:/bin"}
    stdio = (null, writing, writing)
    program = spawn.Program(argv, env, directory, stdio, USER, confined=confined, calls=calls)
    pid, exec_pipe = spawn.start(program, None)
    for descriptor in (null, writing, directory):
        os.close(descriptor)
    os.set_blocking(exec_pipe, True)
    assert spawn.problem(exec_pipe) is None
    os.close(exec_pipe)
    with os.fdopen(reading) as stream:
        out = stream.read()
    return os.waitpid(pid, 0)[1], out


def test_a_confined_program_has_nothing_and_gains_nothing() -> None:
    _, out = run(["cat", "/proc/self/status"], confined=True)
    status = dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)
    held = {key: int(value, 16) for key, value in status.items() if key.startswith("Cap")}
    if USER is None:
        held.pop("CapBnd")  # an ordinary user's keeper may not lower it; see no_new_privs
    assert set(held.values()) == {0}
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == ("2" if seccomp.program() else "0")


def test_a_program_that_is_not_confined_is_left_as_it_is() -> None:
    _, out = run(["cat", "/proc/self/status"], confined=False)
    assert "NoNewPrivs:\t0" in out
    own = Path("/proc/self/status").read_text()
    assert [line for line in out.splitlines() if line.startswith("CapBnd")] == [
        line for line in own.splitlines() if line.startswith("CapBnd")
    ]


@pytest.mark.skipif(USER is None, reason="cannot here: needs root")
def test_a_set_user_id_file_works_only_without(nothing_is_left: Path) -> None:
    file = nothing_is_left / "id"
    shutil.copy("/usr/bin/id", file)
    file.chmod(0o4755)
    mounted = os.statvfs(file).f_flag
    if mounted & os.ST_NOSUID:
        file.unlink()
        pytest.skip("cannot here: the temporary directory is mounted nosuid")
    assert run([str(file), "-u"], confined=False)[1].strip() == "0"
    assert run([str(file), "-u"], confined=True)[1].strip() == str(TASK_UID)
    file.unlink()


@pytest.mark.skipif(not seccomp.program(), reason="cannot here: no table for this machine")
def test_a_confined_program_makes_no_namespaces() -> None:
    status, out = run(["unshare", "-r", "true"], confined=True)
    assert status != 0
    assert "Operation not permitted" in out
