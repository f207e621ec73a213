"""What an orchestrator installs asks for three packages, and for nothing of the runner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Each module that is imported anywhere must come from here: the packages that are named, or what
# one of them needs itself (typing_extensions is grpcio's).
PROGRAM = """
import importlib, pkgutil, sys

ALLOWED = {"grpc", "google", "supervisor", "typing_extensions"} | sys.stdlib_module_names


class Guard:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED or name.startswith(("grpc_", "google.api_core")):
            raise ImportError(f"{name} is none of what an orchestrator has")


sys.meta_path.insert(0, Guard())
import supervisor

names = [each.name for each in pkgutil.walk_packages(supervisor.__path__, "supervisor.")]
for name in names:
    importlib.import_module(name)
print(*sorted(names))
"""


def test_every_module_imports_where_only_its_three_packages_are() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert {"supervisor.client", "supervisor.result", "supervisor.v1.supervisor_pb2_grpc"} < set(
        done.stdout.split()
    )
