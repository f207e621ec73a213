"""Where the runner is: the address that was asked for, else the socket that is there.

Not here: whether anybody listens; that is learned by the first call.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
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
    that exists (the system's, then that of the user's session, then the one in the user's state
    directory, where a runner listens that was started outside any session), else the system's all
    the same.

    An address is `host:port`, `unix:/path`, or the absolute path of a socket.
    """
    asked = address or environment.get(VARIABLE, "")
    if asked:
        return f"unix:{asked}" if asked.startswith("/") else asked
    candidates = (system_socket, *_users(environment))
    found = next((path for path in candidates if _there(path)), system_socket)
    return f"unix:{found}"


def _users(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where a runner of this user's may listen. As the XDG specification has it, what is not
    absolute is passed over."""
    if runtime := _absolute(environment, "XDG_RUNTIME_DIR"):
        yield runtime / "env-runner" / "supervisor.sock"
    home = _absolute(environment, "HOME")
    state = _absolute(environment, "XDG_STATE_HOME") or (home / ".local/state" if home else None)
    if state:
        yield state / "env-runner" / "run" / "supervisor.sock"


def _absolute(environment: Mapping[str, str], name: str) -> Path | None:
    given = environment.get(name, "")
    return Path(given) if given.startswith("/") else None


def _there(path: Path) -> bool:
    """Whether this user can see it: what lies in a directory closed to them is not theirs."""
    try:
        return path.exists()
    except PermissionError:
        return False
