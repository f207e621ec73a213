"""Users that are only numbers: no account is made, and none is needed.

And a Python that another user can run: the suite's own may lie where only its owner may look.
"""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

DAEMON_UID = 64_001
TASK_UID = 64_002

ROOT = Path(__file__).parents[2]
IMPORTS = "import sys, msgspec, tests.support.proxied; assert sys.version_info[:2] == "


def reason_against_users() -> str:
    """Why tests with several users cannot run here; empty where they can."""
    if os.geteuid() != 0:
        return "cannot here: needs root"
    if python_for_others() is None:
        return "cannot here: no Python that another user could run"
    return ""


def environment_for_others() -> dict[str, str]:
    """The environment in which that Python finds this project and what it needs."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *packages]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


@functools.cache
def python_for_others() -> str | None:
    """A Python of this version that DAEMON_UID can run with this project; None for none."""
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        if Path(python).exists() and _works(python):
            return python
    return None


def _works(python: str) -> bool:
    try:
        done = subprocess.run(
            [python, "-c", f"{IMPORTS}{tuple(sys.version_info[:2])}"],
            user=DAEMON_UID,
            group=DAEMON_UID,
            extra_groups=[],
            env=environment_for_others(),
            cwd="/",
            capture_output=True,
            check=False,
        )
    except OSError:
        return False
    return done.returncode == 0
