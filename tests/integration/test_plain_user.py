"""A daemon of somebody who is not root and has no session: their own commands find it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from supervisor.address import SYSTEM_SOCKET
from tests.support import keepers, users
from tests.support.waiting import until

HELLO = '{"execution": {"command": ["echo", "hello"]}}'


@pytest.mark.root
async def test_who_has_no_session_is_found_by_their_own_commands(nothing_is_left: Path) -> None:
    if reason := users.reason_against_users():
        pytest.skip(reason)
    if SYSTEM_SOCKET.exists():
        pytest.skip("cannot here: a runner of the host's own comes first")
    home = nothing_is_left / "home"
    home.mkdir()
    home.chmod(0o777)  # the test's own, whoever is asked to be at home there
    (home / "payload.json").write_text(HELLO)
    environment = {
        **users.environment_for_others(),
        "HOME": str(home),
        "ENV_RUNNER_HTTP__LISTEN": "",
        "ENV_RUNNER_EXECUTORS__LOCAL__SANDBOX": "none",
        "ENV_RUNNER_STATE__MIN_FREE": "0B",
    }

    async def command(*words: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            users.python_for_others() or "",
            *("-m", "runner", *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            user=users.DAEMON_UID,
            group=users.DAEMON_UID,
            extra_groups=[],
            cwd=home,
        )

    daemon = await command("serve")
    state = home / ".local/state/env-runner"
    try:
        await until((state / "run/supervisor.sock").exists, "it listens")
        submitted = await command("submit", "payload.json", "--follow")
        out, err = await submitted.communicate()
        assert (submitted.returncode, out) == (0, b"hello\n"), err
        daemon.terminate()
        await daemon.communicate()
        assert daemon.returncode == 0
    finally:
        if daemon.returncode is None:
            daemon.kill()
            await daemon.communicate()
        await keepers.end(state / "keeper")
        shutil.rmtree(home)
