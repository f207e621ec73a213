"""What the demonstration stands on: captions, commands, a daemon, and cleaning up after all.

Not here: what is shown (`demo.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

COMMAND = Path(sys.executable).with_name("env-runner")
NO_DAEMON = 69
PATIENCE = 20.0  # seconds for what takes a fraction of one

_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")


class NotAsSaid(Exception):
    """Something was not as the demonstration says it is."""


def paint(text: str, code: str) -> str:
    """`text` in that colour, on a terminal."""
    return f"\x1b[{code}m{text}\x1b[0m" if _colour else text


def caption(text: str) -> None:
    """A heading: what comes now."""
    print("\n" + paint(f"── {text}", "1;36"), flush=True)


def say(text: str) -> None:
    """What is done that is no command."""
    print(paint(f"   {text}", "2"), flush=True)


def proven(text: str) -> None:
    """Something that was checked, and held."""
    print(paint(f" ✓ {text}", "32"), flush=True)


def check(holds: bool, text: str) -> None:  # noqa: FBT001 - reads as a sentence
    """`text` is true, or the demonstration ends."""
    if not holds:
        raise NotAsSaid(text)
    proven(text)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Return once it holds; NotAsSaid where it does not in good time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise NotAsSaid(f"waited {PATIENCE:.0f} s in vain until {what}")
        time.sleep(0.02)


def shown(*arguments: str) -> None:
    """Print a command as it would be typed."""
    print(paint("$ ", "1") + paint(" ".join(("env-runner", *arguments)), "1"), flush=True)


def run(*arguments: str, expect: int = 0) -> None:
    """Show a command, run it before the viewer's eyes, check its exit code."""
    shown(*arguments)
    code = subprocess.run([COMMAND, *arguments], check=False).returncode
    if code != expect:
        raise NotAsSaid(f"env-runner {arguments[0]} ended with {code}, not {expect}")
    if expect:
        say(f"exit code {code}")


def run_with(settings: dict[str, str], *arguments: str) -> None:
    """Likewise, with keys of the configuration as variables."""
    for key, value in settings.items():
        say(f"ENV_RUNNER_{key}={value}")
    shown(*arguments)
    variables = {f"ENV_RUNNER_{key}": value for key, value in settings.items()}
    done = subprocess.run([COMMAND, *arguments], check=False, env=os.environ | variables)
    if done.returncode:
        raise NotAsSaid(f"env-runner {arguments[0]} ended with {done.returncode}")


def ask(*arguments: str) -> str:
    """Run a command out of sight; what it said on stdout."""
    done = subprocess.run([COMMAND, *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise NotAsSaid(f"env-runner {arguments[0]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def task(task_id: str) -> dict[str, object]:
    """A task as the protocol's JSON."""
    known: dict[str, object] = json.loads(ask("show", task_id, "--json"))
    return known


def daemon_there() -> bool:
    """Whether somebody serves at the default socket."""
    asked = subprocess.run([COMMAND, "info"], check=False, capture_output=True)
    return asked.returncode != NO_DAEMON


class Stage:
    """One daemon with a state directory of its own, and everything that it ever started."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="env-runner-demo-"))
        self.directory.chmod(0o711)  # tasks have users of their own, who must come through
        self.state = self.directory / "state"
        os.environ["ENV_RUNNER_STATE__DIRECTORY"] = str(self.state)
        os.environ["ENV_RUNNER_HTTP__LISTEN"] = ""
        os.environ.pop("ENV_RUNNER_ADDRESS", None)
        if os.geteuid() and not os.environ.get("XDG_RUNTIME_DIR"):
            runtime = self.directory / "runtime"
            runtime.mkdir(mode=0o700)
            os.environ["XDG_RUNTIME_DIR"] = str(runtime)
        session = Path(os.environ.get("XDG_RUNTIME_DIR", "/run"))
        self.sockets = (session if os.geteuid() else Path("/run")) / "env-runner"
        self.sockets_were_there = self.sockets.exists()
        self.log = self.directory / "daemon.log"
        self.daemon: subprocess.Popen[bytes] | None = None

    def serve(self) -> None:
        """Start the daemon; return once it answers."""
        with self.log.open("ab") as log:
            self.daemon = daemon = subprocess.Popen([COMMAND, "serve"], stdout=log, stderr=log)
        wait_for(lambda: daemon.poll() is not None or daemon_there(), "the daemon answers")
        if daemon.poll() is not None:
            raise NotAsSaid(f"the daemon ended with {daemon.returncode}:\n{self._tail()}")

    def kill_daemon(self) -> None:
        """Kill -9, in the middle of whatever it does."""
        daemon, self.daemon = self.daemon, None
        if daemon is not None:
            daemon.kill()
            daemon.wait()

    def stop_daemon(self) -> int:
        """SIGTERM; its exit code."""
        daemon, self.daemon = self.daemon, None
        if daemon is None:
            return 0
        daemon.terminate()
        return daemon.wait(PATIENCE)

    def others(self) -> list[int]:
        """The processes that belong to the daemon and are not it: keeper, tasks."""
        mark = str(self.state).encode()
        return [pid for pid, about in _processes() if mark in about]

    def stop_others(self) -> None:
        """Ask the keeper to end, which ends all that is below it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.others():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(NotAsSaid):
                wait_for(lambda: not self.others(), "the keeper has ended")
                return

    def close(self) -> None:
        """End and remove all of it."""
        self.kill_daemon()
        if self.others():
            self.stop_others()
        shutil.rmtree(self.directory, ignore_errors=True)
        if not self.sockets_were_there:
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _tail(self) -> str:
        return self.log.read_text(errors="replace")[-2000:]


def _processes() -> Iterator[tuple[int, bytes]]:
    """Every other process that this user may look at, with its command and directory."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != os.getpid():
            with contextlib.suppress(OSError):
                yield (
                    int(path.name),
                    (path / "cmdline").read_bytes() + bytes((path / "cwd").readlink()),
                )
