"""A keeper tells that a task's progress file was written: once for each time that it is read."""

from __future__ import annotations

import os
import signal

import pytest

from runner.keeper.keeping import PROGRESS
from tests.support.keeper_client import Client, Hung, Keeper, Refusal

WRITES = f"""
cd "${{ENV_RUNNER_CONTEXT%/*}}"
i=0; while [ $i -lt 3000 ]; do echo "$i" >> {PROGRESS}; echo x > other; i=$((i+1)); done
echo ready
while [ ! -e go ]; do sleep 0.02; done
echo more >> {PROGRESS}
exec sleep 60
"""


def told(client: Client, times: int) -> None:
    """Receive until it was told so often."""
    while len(client.progressed) < times:
        client.receive()


def read(client: Client, name: str) -> bytes:
    client.ask("open", name=name, place="task", path=PROGRESS)
    return os.pread(client.files[-1], 1 << 20, 0)


def hung_up(client: Client) -> bool:
    try:
        while True:
            client.receive()
    except (Hung, ConnectionResetError):
        return True


def test_thousands_of_writes_are_told_once_until_somebody_reads(plain: Keeper) -> None:
    client = plain.client()
    client.launch("a", "sh", "-c", WRITES)
    told(client, 1)
    plain.says("a", b"ready")
    client.ask("query", name="a")
    assert client.progressed == ["a"]
    assert read(client, "a").startswith(b"0\n1\n")
    (plain.root / "a/disk/task/go").touch()
    while not read(client, "a").endswith(b"more\n"):
        told(client, len(client.progressed) + 1)  # never waits in vain
    client.ask("stop", name="a", grace=0)
    assert client.end("a")["signal"] in (9, 15)


def test_after_a_reload_and_with_another_daemon_it_goes_on(plain: Keeper) -> None:
    client = plain.client(1)
    client.launch("a", "sh", "-c", WRITES)
    told(client, 1)  # and this daemon never reads
    plain.says("a", b"ready")
    plain.signal(signal.SIGHUP)
    assert hung_up(client)
    client = plain.client(2)
    client.ask("query", name="a")
    (plain.root / "a/disk/task/go").touch()
    told(client, 1)
    assert read(client, "a").endswith(b"more\n")


def test_a_task_that_writes_nothing_is_told_of_to_nobody(plain: Keeper) -> None:
    client = plain.client()
    client.launch("a", "sh", "-c", 'echo x > "${ENV_RUNNER_CONTEXT%/*}/result.json"')
    client.end("a")
    assert client.progressed == []
    with pytest.raises(Refusal, match="ABSENT"):
        read(client, "a")
