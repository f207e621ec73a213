"""How attempts end, as the keeper alone records it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.keeper_client import Keeper, Refusal, alive, eventually

STUBBORN = "trap '' TERM; echo up; while :; do sleep 1000; done"


def test_a_record_says_how_it_ended_and_what_it_took(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", "echo out; echo err >&2; exit 7")
    record = client.end("a")
    assert (record["code"], record["signal"], record["lost"], record["stopped"]) == (
        7,
        None,
        "",
        None,
    )
    assert record["written"] == record["kept"] == [4, 4]
    assert record["start_time"] < record["exit_time"]
    assert record["max_memory_bytes"] > 0
    assert client.ask("query", name="a")["record"] == record


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_a_signal_is_told_by_its_number(keeper: Keeper, number: int) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", f"kill -{int(number)} $$")
    record = client.end("a")
    assert (record["code"], record["signal"]) == (None, number)


def test_a_daemonised_grandchild_delays_nothing_and_is_killed_and_counted(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", "(setsid sleep 999 & echo $!); exit 0")
    record = client.end("a")
    assert (record["code"], record["leftovers"], record["killed"]) == (0, 1, False)
    assert not alive(int(keeper.stdout("a")))


def test_an_orphan_that_wiped_its_environment_dies_with_the_last_task(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sh", "-c", "(setsid env -i /bin/sleep 999 & echo $!); exec sleep 0.1")
    assert client.end("a")["leftovers"] == 1
    assert not alive(int(keeper.stdout("a")))


def test_leftovers_of_one_task_are_not_looked_for_in_another(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("other", "sh", "-c", "(setsid sleep 999 & echo $!) ; exec sleep 999")
    keeper.says("other", b"\n")
    client.launch("a", "true")
    assert client.end("a")["leftovers"] == 0
    assert alive(int(keeper.stdout("other")))
    client.ask("stop", name="other", grace=1)
    assert client.end("other")["signal"] == signal.SIGTERM


def zombies(process: psutil.Process) -> list[int]:
    """Those of its children that nobody has reaped."""
    found = []
    for each in process.children():
        with contextlib.suppress(psutil.Error):
            if each.status() == psutil.STATUS_ZOMBIE:
                found.append(each.pid)
    return found


def test_hundreds_of_zombies_are_reaped_and_no_code_is_mixed_up(keeper: Keeper) -> None:
    client = keeper.client()
    orphans = "import os\nfor _ in range(500):\n if os.fork() == 0: os.setsid(); os._exit(99)\n"
    client.python("z", orphans + "print('up', flush=True)\nimport time\ntime.sleep(999)")
    for number in range(40):
        client.launch(f"t{number}", "sh", "-c", f"exit {number}")
    assert [client.end(f"t{number}")["code"] for number in range(40)] == list(range(40))
    keeper.says("z", b"up")
    client.ask("stop", name="z", grace=1)
    client.end("z")
    mains = psutil.Process(keeper.pid)
    eventually(lambda: not zombies(mains), "all zombies are reaped")


def test_what_cannot_be_started_says_at_what_and_leaves_nothing(keeper: Keeper) -> None:
    client = keeper.client()
    script = keeper.root.parent / "script"
    for content, argv, answer in (
        ("", "no-such-program", ("exec", errno.ENOENT)),
        ("", "/etc/passwd", ("exec", errno.EACCES)),
        ("just words", str(script), ("exec", errno.ENOEXEC)),
        ("#!/no/such/interpreter\n", str(script), ("interpreter", errno.ENOENT)),
    ):
        script.write_text(content)
        script.chmod(0o755)
        reply = client.launch("a", argv)
        assert (reply["state"], reply["stage"]) == ("failed", answer[0])
        assert reply["errno"] == answer[1]
        assert client.ask("query", name="a")["state"] == "absent"
    client.launch("a", "true")
    assert client.end("a")["code"] == 0


def test_launched_again_it_is_found_and_not_started_again(keeper: Keeper) -> None:
    client = keeper.client()
    marker = keeper.root.parent / "marker"
    first = client.launch("a", "sh", "-c", f"echo started >> {marker}; read x; exit 3")
    client.launch("b", "sleep", "999")
    assert client.end("a")["code"] == 3
    again = client.launch("a", "false")
    assert again["record"]["code"] == 3
    assert again["record"]["start_time"] == first["launch"]["start_time"]
    assert client.launch("b", "false")["state"] == "running"
    assert marker.read_text() == "started\n"


def test_a_keeper_that_is_told_to_leave_ends_its_tasks_and_says_that_it_did(keeper: Keeper) -> None:
    client = keeper.client()
    client.launch("a", "sleep", "999")
    client.launch("b", "sh", "-c", STUBBORN, grace=0.2)
    keeper.says("b", b"up")
    keeper.signal(signal.SIGTERM)
    for name in ("a", "b"):
        record = client.end(name)
        assert "keeper was stopped" in record["lost"]
        assert (record["code"], record["signal"]) == (None, None)
    keeper.gone()
    assert not (keeper.root / "keeper.sock").exists()


def test_started_with_closed_streams_it_mixes_nothing_up(plain: Keeper) -> None:
    plain.signal(signal.SIGTERM)
    plain.gone()
    command = ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"]
    words = [*psutil.Process().cmdline()[:1], "-S", "-s", "-P", "-m", "runner.keeper"]
    words += ["--root", str(plain.root), "--detach", "--allow-none"]
    project = str(Path(__file__).parents[3])
    subprocess.run([*command, *words], env={**os.environ, "PYTHONPATH": project}, check=True)
    with contextlib.closing(plain.client()) as client:
        for number in range(10):
            client.launch(f"t{number}", "sh", "-c", f"echo {number}; echo e{number} >&2")
        for number in range(10):
            client.end(f"t{number}")
            assert plain.stdout(f"t{number}") == f"{number}\n".encode()
        plain.pid = client.welcome["pid"]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root to mount a small disk")
def test_a_full_disk_cuts_the_output_and_loses_no_end(home: Path) -> None:
    disk = home / "disk"
    disk.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)],
        check=True,
    )
    try:
        keeper = Keeper(disk / "root")
        client = keeper.client()
        client.launch("a", "sh", "-c", "head -c 3000000 /dev/zero; exit 5")
        record = client.end("a")
        assert (record["code"], record["cause"]) == (5, "disk full")
        assert record["written"][0] == 3_000_000
        assert record["kept"][0] == len(keeper.stdout("a")) > 900_000
        assert client.ask("query", name="a")["record"] == record
        with pytest.raises(Refusal):
            client.ask("open", name="a", place="workspace", path="none")
        reply = client.launch("b", "true")
        assert (reply["state"], reply["errno"]) == ("failed", 28)
        client.ask("remove", name="a")
        client.launch("b", "true")
        assert client.end("b")["code"] == 0
        keeper.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
