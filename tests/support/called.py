"""The runner's part of a call, run by an interpreter of this host with no runner around it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from runner.domain import calls as names
from runner.executors import calls

PYTHON = "/usr/bin/python3"
_OLDEST, _NEWEST = 8, 20


@dataclass(frozen=True)
class Called:
    """How a call ended. `result` is what the result file holds; None where there is none."""

    code: int
    out: str
    err: str
    result: Any
    exception: str | None


@dataclass
class Call:
    """A task's own directory and a workspace, below `home`."""

    home: Path
    python: str = PYTHON
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.task, self.workspace = self.home / "task", self.home / "workspace"
        for each in (self.task, self.workspace):
            each.mkdir(exist_ok=True)
        (self.task / names.CALL).write_bytes(calls.program())

    def module(self, name: str, text: str) -> None:
        """A module of the workspace."""
        path = self.workspace / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    def function(self, entry_point: str, /, **arguments: Any) -> Called:
        """Call it."""
        call = json.dumps({"entry_point": entry_point, "arguments": arguments})
        return self._run(names.ARGUMENTS, call.encode())

    def script(self, text: str) -> Called:
        """Run it."""
        return self._run(names.SCRIPT, text.encode())

    def _run(self, name: str, data: bytes) -> Called:
        for left in self.task.iterdir():
            if left.name != names.CALL:
                left.unlink()
        (self.task / name).write_bytes(data)
        done = subprocess.run(
            calls.argv(self.python, str(self.task), str(self.workspace)),
            capture_output=True,
            text=True,
            cwd=self.workspace,
            env={
                "PATH": "/usr/bin:/bin",
                "LANG": "C.UTF-8",
                "ENV_RUNNER_RESULT": str(self.task / "result.json"),
                **self.environment,
            },
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )
        result, exception = self.task / "result.json", self.task / names.EXCEPTION
        return Called(
            done.returncode,
            done.stdout,
            done.stderr,
            json.loads(result.read_text()) if result.exists() else None,
            exception.read_text() if exception.exists() else None,
        )


@cache
def interpreters() -> tuple[str, ...]:
    """One of each minor version that is on this host: on PATH, or beside this one's directory."""
    beside = Path(sys.base_prefix).parent
    found: dict[int, str] = {}
    for minor in range(_OLDEST, _NEWEST):
        path = shutil.which(f"python3.{minor}", path=f"/usr/bin:{Path(sys.executable).parent}")
        others = sorted(beside.glob(f"3.{minor}.*/bin/python3"))
        for each in (*([path] if path else ()), *map(str, others)):
            found.setdefault(minor, each)
    return tuple(found.values())
