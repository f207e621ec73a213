"""Programs in a sandbox, as the keeper's modules make it, by a process of its own.

`Sandboxed` is the test's side. As a module this is the other side: it takes a request on stdin,
holds one sandbox, lets each program enter it in turn, and tells a line of JSON about each.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.keeper import entering, sandbox, spawn
from runner.keeper.bubblewrap import PLACES, WORKSPACE
from tests.support.users import (
    DAEMON_UID,
    TASK_UID,
    environment_for_others,
    python_for_others,
)

PATHS = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/alternatives"]


def reason_against(kind: str) -> str:
    """Why programs cannot be run so here; `kind` is root or ordinary. Empty where they can."""
    if not Path("/usr/bin/bwrap").exists():
        return "there is no bubblewrap: apt-get install bubblewrap"
    if kind == "root" and os.geteuid() != 0:
        return "cannot here: needs root"
    if os.geteuid() == 0 and python_for_others() is None:
        return "cannot here: no Python that another user could run"
    return ""


@dataclass(frozen=True)
class Run:
    """How a program ended: the raw wait status, what it wrote, why it was not started."""

    status: int
    out: str
    problem: tuple[str, int] | None


class Sandboxed:
    """What one kind of keeper, `root` or `ordinary`, can do. `disk` is below `home`."""

    def __init__(self, kind: str, home: Path) -> None:
        self.kind = kind
        self.uid = TASK_UID if kind == "root" else (os.geteuid() or DAEMON_UID)
        self.disk = home / "disk"
        self.disk.mkdir(mode=0o755)
        for name in PLACES:
            (self.disk / name).mkdir(mode=0o700)
            if os.geteuid() == 0:
                os.chown(self.disk / name, self.uid, self.uid)

    def shell(self, script: str, **more: Any) -> str:
        """What a script writes, stderr too."""
        return self.run(["/bin/sh", "-c", f"exec 2>&1; {script}"], **more).out

    def run(self, argv: list[str], directory: str = WORKSPACE, **more: Any) -> Run:
        """One program in a sandbox of its own."""
        return self.all([{"argv": argv, "directory": directory}], **more)[0]

    def all(self, programs: list[dict[str, Any]], **more: Any) -> list[Run]:
        """Programs in one sandbox, one after the other."""
        process = self.begin(programs, **more)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        told = [json.loads(line) for line in out.splitlines()]
        return [
            Run(each["status"], each["out"], each["problem"] and tuple(each["problem"]))
            for each in told
            if "status" in each
        ]

    def begin(self, programs: list[dict[str, Any]], **more: Any) -> subprocess.Popen[str]:
        """The other side, told what to do; the caller waits for it."""
        request = {
            "disk": str(self.disk),
            "user": [TASK_UID, TASK_UID] if self.kind == "root" else None,
            "programs": programs,
            **more,
        }
        other = self.kind == "ordinary" and os.geteuid() == 0
        python = python_for_others() if other else sys.executable
        assert python is not None
        process = subprocess.Popen(
            [python, "-m", "tests.support.sandboxed"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/" if other else None,
            env=environment_for_others() if other else None,
            user=DAEMON_UID if other else None,
            group=DAEMON_UID if other else None,
            extra_groups=[] if other else None,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        return process

    def close(self) -> None:
        """Remove its disk."""
        shutil.rmtree(self.disk)


# --- the other side -------------------------------------------------------------------------


def _tell(**what: Any) -> None:
    print(json.dumps(what), flush=True)  # noqa: T201 - the test reads it


def main() -> None:
    """Do what one request says."""
    request = json.loads(sys.stdin.readline())
    spawn.begin()
    user = request["user"] and (request["user"][0], request["user"][1])
    bubblewrap = sandbox.Bubblewrap()
    mounts = tuple(sandbox.Mount(*each) for each in request.get("mounts", []))
    view = sandbox.View(tuple(PATHS), request["disk"], mounts, request.get("network", False))
    held = ready(sandbox.Holder.start(bubblewrap, view, user, None))
    held = sandbox.Holder.load(json.loads(json.dumps(held.dump())))  # as across a reload
    _tell(holder=held.pid, first=held.first_pid)
    for each in request["programs"]:
        _tell(**enter(held, each, user, bubblewrap.calls))
    if request.get("kill"):
        held.kill()
    held.close()
    os.waitpid(held.pid, 0)


def ready(held: sandbox.Holder) -> sandbox.Holder:
    """Wait until it is."""
    poll = select.poll()
    poll.register(held.ready_fd, select.POLLIN)
    while poll.poll() and not held.read():
        pass
    return held


def enter(
    held: sandbox.Holder, each: dict[str, Any], user: tuple[int, int] | None, calls: bytes
) -> dict[str, Any]:
    """Let one program in, and wait for its end."""
    reading, writing = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    stdio = (null, writing, writing)
    program = spawn.Program(
        each["argv"],
        each.get("env", {"PATH": "/usr/bin:/bin"}),
        each["directory"],
        stdio,
        user,
        confined=True,
        calls=calls,
    )
    pid, exec_pipe = entering.start(held, program, None)
    os.close(writing)
    os.close(null)
    if each.get("tell"):
        _tell(pid=pid)
    os.set_blocking(exec_pipe, True)
    problem = spawn.problem(exec_pipe)
    os.close(exec_pipe)
    with os.fdopen(reading, "rb") as stream:
        out = stream.read()
    _, status = os.waitpid(pid, 0)
    return {"status": status, "out": out.decode(), "problem": problem}


if __name__ == "__main__":
    main()
