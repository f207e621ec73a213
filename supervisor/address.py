"""Where the runner is: the address that was asked for, else the socket that is there.

Not here: whether anybody listens; that is learned by the first call.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SYSTEM_SOCKET = Path("/run/env-runner/supervisor.sock")
"""Where a runner that was started as root listens."""

VARIABLE = "ENV_RUNNER_ADDRESS"


def resolve(
    address: str | None = None,
    environment: Mapping[str, str] = os.environ,
    system_socket: Path = SYSTEM_SOCKET,
) -> str:
    """The gRPC target: `address`, else ENV_RUNNER_ADDRESS, else the first default socket
    that exists (the system's, then the user's), else the system's all the same.

    An address is `host:port`, `unix:/path`, or the absolute path of a socket.
    """
    asked = address or environment.get(VARIABLE, "")
    if asked:
        return f"unix:{asked}" if asked.startswith("/") else asked
    candidates = [system_socket]
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime:
        candidates.append(Path(runtime) / "env-runner" / "supervisor.sock")
    found = next((path for path in candidates if _there(path)), system_socket)
    return f"unix:{found}"


def _there(path: Path) -> bool:
    """Whether this user can see it: what lies in a directory closed to them is not theirs."""
    try:
        return path.exists()
    except PermissionError:
        return False
