"""`make demo`: a daemon, real tasks, and a kill -9 in the middle of one. Under a minute.

Everything said is checked; where something is not as it says, it ends with exit code 1.
Whatever happens, daemon, keeper, tasks and state are gone afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

from contained import a_container
from stage import (
    COMMAND,
    NotAsSaid,
    Stage,
    ask,
    caption,
    check,
    daemon_there,
    paint,
    run,
    say,
    shown,
    task,
    wait_for,
)

PAYLOADS = Path("demo")
LINES = 1000
EXPECTED = "".join(f"line {n} of {LINES}\n" for n in range(1, LINES + 1)).encode()


def main() -> int:
    """Show everything; the exit code says whether it was as said."""
    os.chdir(Path(__file__).resolve().parent.parent)
    begun = time.monotonic()
    stage = Stage()
    try:
        show(stage)
    except NotAsSaid as fault:
        print(paint(f" ✗ {fault}", "1;31"), flush=True)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; cleaning up", flush=True)
        return 130
    finally:
        stage.close()
    seconds = time.monotonic() - begun
    print("\n" + paint(f"All of it was as said, in {seconds:.0f} seconds.", "1;32"))
    print("Read on in README.md; `make test` runs the test suite.")
    return 0


def show(stage: Stage) -> None:
    """The acts, in order."""
    if daemon_there():
        raise NotAsSaid(
            "a daemon already serves at the default socket; the demo leaves it alone. "
            "Stop it, and try again"
        )
    caption("A daemon, on its default socket, with no configuration")
    shown("serve &")
    stage.serve()
    run("info")
    a_first_task()
    a_function()
    kill_in_the_middle(stage)
    a_cancel()
    the_truth_about_time()
    a_refusal()
    a_container()
    caption("What the daemon knows of all this")
    run("ps", "--all")
    all_gone(stage)


def a_first_task() -> None:
    """Submit and follow."""
    caption("A task is a JSON document; its output streams while it runs")
    print((PAYLOADS / "hello.json").read_text().rstrip())
    run("submit", str(PAYLOADS / "hello.json"), "--id", "hello", "--follow")
    run("show", "hello", "--result")


def a_function() -> None:
    """Called with arguments; what it returns is the result."""
    caption("A Python function is called, and what it returns is the result")
    print((PAYLOADS / "function.json").read_text().rstrip())
    run("submit", str(PAYLOADS / "function.json"), "--id", "mean", "--follow")
    result = task("mean")["result"]
    value = base64.b64decode(result["value"])  # type: ignore[index] # JSON
    check(value == b"3.5", "its value is 3.5, as data: nothing was read out of its output")


def kill_in_the_middle(stage: Stage) -> None:
    """The daemon dies, the task does not, and the follower misses nothing."""
    caption(f"kill -9 of the daemon while a task prints {LINES} lines")
    run("submit", str(PAYLOADS / "count.json"), "--id", "count")
    shown("logs", "count", "--follow")
    with subprocess.Popen([COMMAND, "logs", "count", "-f"], stdout=subprocess.PIPE) as follower:
        try:
            _watch_it(stage, follower)
        finally:
            follower.kill()
    ended = task("count")
    check(
        ended["state"] == "TASK_STATE_COMPLETED" and len(list(ended["attempts"])) == 1,  # type: ignore[call-overload] # JSON
        "the task was started once and ended well: exit code 0",
    )
    run("show", "count")


def _watch_it(stage: Stage, follower: subprocess.Popen[bytes]) -> None:
    out = follower.stdout
    assert out is not None  # noqa: S101 - it was asked for as a pipe
    received = []
    for line in out:
        received.append(line)
        number = len(received)
        if number <= 3 or number % 200 == 0:
            print(f"   {line.decode().rstrip()}", flush=True)
        if number == LINES // 3:
            _kill_and_restart(stage)
    whole = b"".join(received)
    digest = hashlib.sha256(whole).hexdigest()
    check(
        follower.wait() == 0 and whole == EXPECTED,
        f"the follower got all {len(received)} lines once and in order, sha256 {digest[:16]}…",
    )


def _kill_and_restart(stage: Stage) -> None:
    handle = task("count")["attempts"][0]["handle"]  # type: ignore[index] # JSON
    pid = int("".join(filter(str.isdigit, handle)))
    daemon = stage.daemon
    assert daemon is not None  # noqa: S101 - it was started above
    print(paint(f" ⚡ kill -9 {daemon.pid}", "1;33") + "   # the daemon", flush=True)
    stage.kill_daemon()
    check(not daemon_there(), "the daemon is gone: no answer at its socket")
    check(Path(f"/proc/{pid}").exists(), f"the task runs on without it: pid {pid}")
    time.sleep(1)  # for the viewer: a second in which nobody is there but the task
    shown("serve &")
    stage.serve()
    say("the follower, never restarted, goes on where it was")


def a_cancel() -> None:
    """A task that ignores SIGTERM is killed after its grace."""
    caption("A cancel: asked first, killed after the grace period, all of it")
    run("submit", str(PAYLOADS / "stubborn.json"), "--id", "stubborn")
    wait_for(lambda: bool(ask("logs", "stubborn")), "the task has said something")
    run("cancel", "stubborn", "--grace", "1s")
    run("watch", "stubborn")
    attempt = task("stubborn")["attempts"][0]  # type: ignore[index] # JSON
    check(attempt.get("signal") == 9, "it ignored SIGTERM, so SIGKILL ended it after 1 s")


def the_truth_about_time() -> None:
    """A timeout is told as one."""
    caption("A timeout is told as what it is, in the exit code too")
    run("submit", str(PAYLOADS / "slow.json"), "--id", "slow", "--follow", expect=124)


def a_refusal() -> None:
    """Faults are told at once, each with its place."""
    caption("What is wrong or forbidden is refused before anything is done")
    run("submit", str(PAYLOADS / "refused.json"), "--id", "refused", expect=126)
    run("submit", str(PAYLOADS / "denied.json"), "--id", "denied", expect=126)


def all_gone(stage: Stage) -> None:
    """Daemon, keeper, state."""
    caption("Everything is stopped and cleaned up")
    check(stage.stop_daemon() == 0, "SIGTERM: the daemon ended with exit code 0")
    stage.stop_others()
    check(not stage.others(), "the keeper and every process of a task are gone")
    stage.close()
    check(not stage.directory.exists(), "so is the state directory")


if __name__ == "__main__":
    sys.exit(main())
