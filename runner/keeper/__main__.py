"""`python -m runner.keeper --root DIR`: listen, spawn, pump, reap, record.

--root DIR               where attempts' directories are made; one keeper each
--socket PATH            default: keeper.sock in there
--idle-exit SECONDS      end when there was no task, no unread end and no daemon for so long
--allow-users A[-B],…    the uids that tasks may have; default: the daemon's own
--daemon-uid UID         who may connect, besides root and the keeper's own user
--detach                 go on in the background, once it listens
--no-cgroups             trace processes even where there are cgroups
"""

from __future__ import annotations

import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import time

from runner import __version__
from runner.keeper import connections, predecessor, reload, syscalls
from runner.keeper.attempt import Host
from runner.keeper.cgroups import Cgroups, Unavailable
from runner.keeper.loop import Loop, fix_standard_streams, log
from runner.keeper.service import Service, Settings

_OPTIONS = {"root", "socket", "idle-exit", "allow-users", "daemon-uid", "resume"}
_FLAGS = {"detach", "no-cgroups", "check-state"}
_LOCK_PATIENCE = 5.0  # seconds for a keeper that is just leaving
_USAGE, _BUSY, _UNREADABLE = 2, 75, 78


def _options(arguments: list[str]) -> dict[str, str]:
    """`--name value`, `--name=value` and `--flag`. Exits with a line where it is neither."""
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, given, value = word.removeprefix("--").partition("=")
        if name in _FLAGS and not given:
            found[name] = ""
        elif word.startswith("--") and name in _OPTIONS:
            found[name] = value if given else next(words, "")
        if found.get(name, "") == "" and name not in _FLAGS:
            _leave(_USAGE, f"{word[:64]!r} is no option with a value\n{__doc__}")
    if "root" not in found:
        _leave(_USAGE, f"--root is missing\n{__doc__}")
    return found


def _leave(status: int, text: str) -> None:
    os.write(2, f"env-runner keeper: {text}\n".encode())
    sys.exit(status)


def _settings(options: dict[str, str]) -> tuple[Settings, float]:
    settings = Settings()
    settings.version = __version__
    try:
        if "daemon-uid" in options:
            settings.daemon_uid = int(options["daemon-uid"])
        if "allow-users" in options:
            settings.users = []
            for part in options["allow-users"].split(","):
                first, _, last = part.partition("-")
                settings.users.append(range(int(first), int(last or first) + 1))
        return settings, float(options.get("idle-exit", "inf"))
    except ValueError:
        _leave(_USAGE, "--daemon-uid, --allow-users and --idle-exit take numbers")
        raise


def _lock(root: str) -> int:
    """The lock that makes this the only keeper of its root. Exits where another has it."""
    lock = os.open(f"{root}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                _leave(_BUSY, f"another keeper has {root}")
            time.sleep(0.02)
        else:
            return lock


def _detach() -> int:
    """Go on in a child of init, in a session of its own. Returns what to write to when ready."""
    reading, writing = os.pipe()
    if os.fork() != 0:
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.close(reading)
    os.setsid()
    return writing


def _cgroups(root: str, settings: Settings, wanted: bool) -> Cgroups | None:  # noqa: FBT001 - a flag
    try:
        if wanted:
            return Cgroups(root)
        reason = "switched off by --no-cgroups"
    except Unavailable as error:
        reason = str(error)
    settings.notes.append(
        f"no cgroups ({reason}): processes are traced by session, descent and environment; one "
        "that hides from all three is killed once no other task runs"
    )
    return None


def main() -> None:
    """The keeper's life."""
    fix_standard_streams()
    options = _options(sys.argv[1:])
    if "check-state" in options:
        try:
            reload.resume(0)
        except reload.Unreadable as error:
            _leave(_UNREADABLE, str(error))
        return
    settings, idle_exit = _settings(options)
    root = os.path.realpath(options["root"])
    path = os.path.abspath(options.get("socket", f"{root}/keeper.sock"))
    state = reload.resume(int(options["resume"])) if "resume" in options else None
    try:
        os.makedirs(root, 0o711, exist_ok=True)
        os.chmod(root, 0o711)  # tasks must get at what is theirs below it
        os.chdir("/")
        os.umask(0o077)
        if state is None:
            os.closerange(3, 65536)
            ready = _detach() if "detach" in options else None
            lock = _lock(root)
        else:
            ready, lock = None, state["lock"]
        syscalls.become_subreaper()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        cgroups = _cgroups(root, settings, "no-cgroups" not in options)
        instance = state["instance"] if state else f"{os.getpid()}-{time.time_ns():x}"
        host = Host(root, instance, cgroups)
        loop = Loop(host)
        if state is None:
            predecessor.clear(host)
            sock = connections.listen(path, settings.daemon_uid)
        else:
            sock = socket.socket(fileno=state["listening"])
            for descriptor in (sock.fileno(), lock):
                os.set_inheritable(descriptor, False)
    except OSError as error:
        _leave(1, f"{error.filename or root}: {error.strerror}")
        raise
    service = Service(host, loop, sock, settings)
    reload.Reload(loop, service, sock.fileno(), lock)
    if state is not None:
        reload.take_over(loop, service, state)
    if ready is not None:
        os.write(ready, b"1")
        os.close(ready)
    gc.freeze()  # what is there now stays: a fork need not copy it for the collector
    _run(loop, service, idle_exit)
    os.unlink(path)
    if cgroups is not None:
        cgroups.close()


def _run(loop: Loop, service: Service, idle_exit: float) -> None:
    idle_since = time.monotonic()
    while not (loop.leaving and not loop.attempts):
        if not loop.idle or service.connected:
            idle_since = time.monotonic()
        left = idle_since + idle_exit - time.monotonic()
        if left <= 0:
            log("nothing to do: leaving")
            return
        loop.turn(left)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
