"""Replaces the keeper by its newest version while its tasks run on, by execve.

Children, descriptors and the subreaper flag survive exec; everything else goes along as JSON
in a memfd. The new code is first started aside to say that it can read that state.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from runner.keeper import files, spawn
from runner.keeper.ahead import PREFIX as AHEAD
from runner.keeper.attempt import Attempt
from runner.keeper.loop import Loop, log
from runner.keeper.service import Service

VERSION = 1
_SIGNALS = {signal.SIGHUP, signal.SIGTERM, signal.SIGINT}
_FIELDS = {
    "version",
    "instance",
    "listening",
    "lock",
    "epoch",
    "journal",
    "unread",
    "unrecorded",
    "files",
    "attempts",
}

State = dict[str, Any]


class Unreadable(Exception):
    """A state that this version cannot go on from; the text says why."""


def parse(data: bytes) -> State:
    """The state that another version wrote. Raises Unreadable."""
    try:
        state = json.loads(data)
    except ValueError as error:
        raise Unreadable("the state is damaged") from error
    if type(state) is not dict or state.get("version") != VERSION:
        raise Unreadable(f"a keeper that goes by state version {VERSION} cannot read this state")
    if not state.keys() >= _FIELDS:
        raise Unreadable(f"the state lacks {sorted(_FIELDS - state.keys())}")
    return state


class Reload:
    """One keeper's way to its successor. `listening` and `lock` are descriptors."""

    def __init__(self, loop: Loop, service: Service, listening: int, lock: int) -> None:
        self._loop = loop
        self._service = service
        self._kept = (listening, lock)
        self._checking = 0
        loop.on_reload = self.begin

    def begin(self) -> None:
        """Ask the new code whether it can take over; then it does, in a later turn."""
        if self._checking:
            return
        self._service.ahead.close()
        state = self._memfd()
        command = [*_command(), "--check-state"]
        streams = [(os.POSIX_SPAWN_DUP2, state, 0)]
        try:
            child = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
        except OSError as error:
            log(f"not reloaded: {error.strerror}: {command[0]}")
            self._service.ahead.open()
            return
        finally:
            os.close(state)
        self._checking = child
        self._loop.host.mains.add(child)
        self._loop.on_child[child] = self._checked

    def _checked(self, status: int) -> None:
        self._checking = 0
        if self._loop.unsettled:  # that is soon over
            self._loop.reload()
            return
        if status != 0:
            log("not reloaded: the new version cannot take over; this one goes on")
            self._service.ahead.open()
            return
        self._service.close()
        state = self._memfd()
        kept = [*self._kept, state]
        for attempt in self._loop.attempts.values():
            kept += attempt.descriptors
        kept = [descriptor for descriptor in kept if descriptor >= 0]
        # until the new one has its handlers, these would end it
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        for descriptor in kept:
            os.set_inheritable(descriptor, True)
        command = [*_command(), f"--resume={state}"]
        try:
            os.execve(command[0], command, os.environ)
        except OSError as error:
            log(f"not reloaded: {error.strerror}: {command[0]}")
            for descriptor in kept:
                os.set_inheritable(descriptor, False)
            os.close(state)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._service.ahead.open()

    def _memfd(self) -> int:
        state: State = {
            "version": VERSION,
            "instance": self._loop.host.instance,
            "listening": self._kept[0],
            "lock": self._kept[1],
            "epoch": self._service.epoch,
            "journal": self._service.journal,
            "unread": list(self._loop.unread),
            "unrecorded": self._loop.unrecorded,
            "files": spawn.FILES_LIMIT,
            "mounts": self._loop.host.disks.own,
            "attempts": [attempt.dump() for attempt in self._loop.attempts.values()],
        }
        file = os.memfd_create("keeper-state")
        data = json.dumps(state).encode()
        while data:
            data = data[os.write(file, data) :]
        os.lseek(file, 0, os.SEEK_SET)
        return file


def _command() -> list[str]:
    """The command line of this process, less what was said for this one start."""
    words = [word for word in sys.orig_argv[1:] if not word.startswith(("--resume=", "--detach"))]
    return [sys.executable, *words]


def resume(file: int) -> State:
    """The state that a predecessor left in a descriptor, which is closed. Raises Unreadable."""
    with os.fdopen(file, "rb") as stream:
        return parse(stream.read())


def take_over(loop: Loop, service: Service, state: State) -> None:
    """Go on where the predecessor was."""
    service.epoch, service.journal = state["epoch"], state["journal"]
    loop.unread.update(dict.fromkeys(state["unread"]))
    loop.unrecorded.update(state["unrecorded"])
    spawn.FILES_LIMIT = (state["files"][0], state["files"][1])
    for saved in state["attempts"]:
        loop.add(Attempt.load(loop.host, saved))
    for name in os.listdir(loop.host.directory):  # removals that were under way
        if name.startswith((files.REMOVING, AHEAD)):
            loop.removals[name] = files.removal(loop.host.directory, name)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    log(f"reloaded, with {len(loop.attempts)} tasks running")
