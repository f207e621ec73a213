"""Programs in a sandbox end as any child: raw status, exec errors, and nothing is left."""

from __future__ import annotations

import errno
import json
import os
import signal
from pathlib import Path

import psutil

from tests.support.sandboxed import Sandboxed
from tests.support.waiting import until

SIGNALS = [
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGKILL),
    *(signal.SIGSEGV, signal.SIGPIPE, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1),
    *(signal.SIGSYS, signal.SIGRTMIN, signal.SIGRTMAX),
]
CODES = [0, 1, 2, 3, 126, 127, 128, 129, 137, 143, 159, 254, 255]


def script(text: str) -> dict[str, object]:
    return {"argv": ["/bin/sh", "-c", text], "directory": "/workspace"}


def test_every_exit_code_and_every_signal_is_told_as_it_was(inside: Sandboxed) -> None:
    codes = inside.all([script(f"exit {code}") for code in CODES])
    assert [os.waitstatus_to_exitcode(run.status) for run in codes] == CODES
    assert all(os.WIFEXITED(run.status) for run in codes)
    signals = inside.all([script(f"kill -{int(number)} $$") for number in SIGNALS])
    assert all(os.WIFSIGNALED(run.status) for run in signals)
    assert [os.WTERMSIG(run.status) for run in signals] == [int(number) for number in SIGNALS]


def test_a_program_that_cannot_be_executed_is_told_with_its_errno(inside: Sandboxed) -> None:
    workspace = inside.disk / "workspace"
    for name, text in (
        ("plain", "x"),
        ("lost", "#!/no/such/interpreter\n"),
        ("good", "#!/bin/sh\nexit 3"),
    ):
        (workspace / name).write_text(text)
        (workspace / name).chmod(0o644 if name == "plain" else 0o755)
    argvs = [
        ["/no/such"],
        ["no-such"],
        ["./plain"],
        ["./lost"],
        ["./good"],
        ["/workspace"],
        ["./plain/x"],
    ]
    runs = inside.all([{"argv": argv, "directory": "/workspace"} for argv in argvs])
    assert [run.problem for run in runs] == [
        ("exec", errno.ENOENT),
        ("exec", errno.ENOENT),
        ("exec", errno.EACCES),
        ("interpreter", errno.ENOENT),
        None,
        ("exec", errno.EACCES),
        ("exec", errno.ENOTDIR),
    ]
    assert os.waitstatus_to_exitcode(runs[4].status) == 3


def test_a_working_directory_that_is_not_there_is_told(inside: Sandboxed) -> None:
    run = inside.run(["/bin/true"], "/workspace/absent")
    assert run.problem == ("working_dir", errno.ENOENT)


def test_orphans_are_reaped_inside(inside: Sandboxed) -> None:
    zombies = "grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null"
    patient = f"n=0; while [ $n -lt 2000 ] && {zombies} >/dev/null; do n=$((n+1)); done; {zombies}"
    runs = inside.all([script("for n in 1 2 3 4 5; do (/bin/true &) ; done"), script(patient)])
    assert runs[1].out == ""


def test_what_a_program_left_inside_ends_with_the_sandbox(inside: Sandboxed) -> None:
    mark = "sleep 86399"
    runs = inside.all([script(f"{mark} >/dev/null 2>&1 & setsid {mark} >/dev/null 2>&1 & exit 7")])
    assert os.waitstatus_to_exitcode(runs[0].status) == 7
    assert not [p for p in psutil.process_iter() if " ".join(_words(p)) == mark]


def test_a_sandbox_ends_though_a_program_stopped_what_holds_it(inside: Sandboxed) -> None:
    runs = inside.all([script("kill -STOP 2; kill -KILL 1; kill -TERM 1; exit 5")], kill=True)
    assert os.waitstatus_to_exitcode(runs[0].status) == 5


def test_a_program_that_kills_what_holds_its_sandbox_is_killed_with_it(inside: Sandboxed) -> None:
    run = inside.run(["/bin/sh", "-c", "kill -KILL 2; while :; do :; done"])
    assert os.waitstatus_to_exitcode(run.status) == -signal.SIGKILL


async def test_nothing_is_left_where_the_keeper_is_killed(inside: Sandboxed) -> None:
    each = {**script("sleep 86398 & exec sleep 86398"), "tell": True}
    process = inside.begin([each])
    assert process.stdout is not None
    told = json.loads(process.stdout.readline()) | json.loads(process.stdout.readline())
    outside = psutil.Process(told["first"])
    await until(lambda: len(_all_in(outside)) >= 4, "the program and its child are there")
    seen = _all_in(outside)
    process.kill()
    process.communicate()
    await until(lambda: not any(map(_alive, seen)), "all of the sandbox is gone")


def _all_in(first: psutil.Process) -> list[psutil.Process]:
    """Every process in the pid namespace of that one."""
    wanted = _namespace(first)
    return [p for p in psutil.process_iter() if _namespace(p) == wanted]


def _namespace(process: psutil.Process) -> str:
    try:
        return str(Path(f"/proc/{process.pid}/ns/pid").readlink())
    except OSError:
        return ""


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
