"""`python -m runner.keeper --root DIR`: listen, spawn, pump, reap, record.

--root DIR               where attempts' directories are made; one keeper each
--socket PATH            default: keeper.sock in there
--idle-exit SECONDS      end when there was no task, no unread end and no daemon for so long
--forsaken DIR           end, with all tasks, and remove DIR once no daemon is there any more
--allow-users A[-B],…    whom the daemon may name, by uid or name; default: its own user
--task-users A-B         uids of which each task gets one that no other running task has
--view PATH[:PATH]…      what of the host tasks in the strict sandbox see, read-only
--mounts PATH[:rw],…     what a launch may have mounted is one of these or below; default: none
--allow-none             tasks may run without a sandbox, though the keeper is root
--max-memory BYTES       a launch that asks for more, disk included, is refused
--max-cpu CORES          likewise
--max-processes N        likewise
--max-disk BYTES         likewise, and each task in a sandbox has a disk of its own then
--max-output BYTES       likewise; of memory, disk and CPU also N%, of what the host has
--daemon-uid UID         who may connect, besides root and the keeper's own user; or a name
--detach                 go on in the background, once it listens
--no-ahead               make nothing for the next task before that comes
--no-cgroups             trace processes even where there are cgroups
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import time

from runner.keeper import connections, devices, predecessor, reload, spawn, syscalls
from runner.keeper.attempt import Host
from runner.keeper.cgroups import KINDS, Cgroups, Unavailable
from runner.keeper.defence import Settings
from runner.keeper.disk import Disks
from runner.keeper.forsaken import Forsaken
from runner.keeper.loop import Loop, fix_standard_streams, log
from runner.keeper.options import leave, read, settings_of
from runner.keeper.service import Service
from runner.keeper.view import Sandboxes

_CLEARING, _TURN = 10.0, 1.0  # seconds for what dies at the end, and of a turn meanwhile
_LOCK_PATIENCE = 2.0  # seconds for a keeper that is just leaving
_BUSY, _UNREADABLE = 75, 78
_NO_CGROUPS = "there are no cgroups here"


def _lock(root: str) -> int:
    """The lock that makes this the only keeper of its root. Exits where another has it."""
    lock = os.open(f"{root}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                leave(_BUSY, f"another keeper has {root}")
            time.sleep(0.02)
        else:
            return lock


def _notify(state: str) -> None:
    """A word to systemd (sd_notify(3)), where it started this process and waits for one."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address.startswith(("/", "@")):
        with (
            contextlib.suppress(OSError),  # nobody listens: no reason not to keep tasks
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(state.encode(), address.replace("@", "\0", 1))


def _detach() -> int:
    """Go on in a child of init, in a session of its own. Returns what to write to when ready."""
    reading, writing = os.pipe()
    if os.fork() != 0:
        os.close(writing)
        os._exit(0 if os.read(reading, 1) else 1)
    os.close(reading)
    os.setsid()
    return writing


def _cgroups(root: str, settings: Settings, *, wanted: bool) -> Cgroups | None:
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


def _held(cgroups: Cgroups | None, disks: Disks) -> dict[str, str]:
    """Why limits cannot be held here, by their names; empty where they can."""
    kinds = dict.fromkeys(KINDS, _NO_CGROUPS) if cgroups is None else cgroups.held
    return {**kinds, "disk": disks.problem}


class _Keeper:
    """What stands once a start went well; `ready` is written to when it does."""

    def __init__(self, options: dict[str, str], state: reload.State | None) -> None:
        """Raises OSError."""
        settings, self.idle_exit = settings_of(options)
        self.forsaken = Forsaken(options.get("forsaken", ""))
        root = os.path.realpath(options["root"])
        self.path = os.path.abspath(options.get("socket", f"{root}/keeper.sock"))
        self.ready: int | None = None
        os.makedirs(root, exist_ok=True)
        os.chmod(root, 0o711)  # noqa: S103 - tasks must get at what is theirs below it
        os.chdir("/")
        os.umask(0o027)
        if state is None:
            os.closerange(3, 65536)
            self.ready = _detach() if "detach" in options else None
        lock = _lock(root) if state is None else state["lock"]
        syscalls.become_subreaper()
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.cgroups = _cgroups(root, settings, wanted="no-cgroups" not in options)
        disks = Disks(root, own=state is not None and bool(state.get("mounts")))
        settings.held = _held(self.cgroups, disks)
        settings.devices = _NO_CGROUPS if self.cgroups is None else self.cgroups.devices
        if settings.devices and devices.majors():
            settings.notes.append(
                "GPUs: tasks outside the strict sandbox are kept from those that are not theirs "
                f"by CUDA_VISIBLE_DEVICES alone: {settings.devices}"
            )
        # after a reload tasks run, and one should not be able to disturb the trial
        user = None if settings.pool is None else settings.pool.last
        sandboxes = Sandboxes(root, settings.view, user)
        settings.find_levels(sandboxes.problem)
        instance = state["instance"] if state else f"{os.getpid()}-{time.time_ns():x}"
        host = Host(root, instance, self.cgroups, disks)
        self.loop = Loop(host)
        if state is None:
            predecessor.clear(host)
            sock = connections.listen(self.path, settings.daemon_uid)
        else:
            sock = socket.socket(fileno=state["listening"])
            for descriptor in (sock.fileno(), lock):
                os.set_inheritable(descriptor, False)
        self.service = Service(host, self.loop, sock, settings, sandboxes)
        reload.Reload(self.loop, self.service, sock.fileno(), lock)
        if state is not None:
            reload.take_over(self.loop, self.service, state)

    def run(self) -> None:
        """Until it is told to leave, or has had nothing to do for long enough."""
        idle_since = time.monotonic()
        while not (self.loop.leaving and not self.loop.busy):
            if not self.loop.idle or self.service.connected:
                idle_since = time.monotonic()
            left = idle_since + self.idle_exit - time.monotonic()
            if left <= 0:
                log("nothing to do: leaving")
                break
            left = min(left, self.forsaken.left(connected=self.service.connected))
            self.loop.leaving |= self.forsaken.gone
            self.loop.turn(left)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.service.ahead.close()
        deadline = time.monotonic() + _CLEARING
        while self.loop.clearing and time.monotonic() < deadline:
            self.loop.turn(_TURN)
        if self.cgroups is not None:
            self.cgroups.close()
        self.forsaken.remove()


def main() -> None:
    """The keeper's life."""
    fix_standard_streams()
    options = read(sys.argv[1:], __doc__)
    try:
        if "check-state" in options:
            reload.resume(0)
            return
        state = reload.resume(int(options["resume"])) if "resume" in options else None
        keeper = _Keeper(options, state)
    except reload.Unreadable as error:
        leave(_UNREADABLE, str(error))
    except OSError as error:
        leave(1, f"{error.filename or options['root']}: {error.strerror}")
    if keeper.ready is not None:
        os.write(keeper.ready, b"1")
        os.close(keeper.ready)
    spawn.begin()
    _notify("READY=1")
    gc.freeze()  # what is there now stays: a fork need not copy it for the collector
    keeper.run()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main()
