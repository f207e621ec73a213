"""Checks of what tasks need: a keeper that starts, cgroups, a user, and what holds them."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runner.config.model import Config, Local
from runner.doctor.addresses import answers
from runner.doctor.finding import Finding, fail, ok, warn
from runner.executors.local import LocalExecutor
from runner.executors.local.dismissal import dismiss
from runner.ports import Readiness


async def keeper(config: Config) -> list[Finding]:
    """The keeper, and how it would find the processes of tasks.

    One is started in a directory of its own and dismissed: the one that is in use is never
    spoken to, since it obeys who spoke last.
    """
    if not config.local.enabled:
        return [ok("keeper", "executors.local is not enabled: there is none")]
    if not config.local.start_keeper and config.local.keeper_socket:
        return [_awaited(Path(config.local.keeper_socket))]
    with tempfile.TemporaryDirectory(prefix="env-runner-") as name:
        local = LocalExecutor(Path(name) / "keeper")
        try:
            said = await local.probe()
        finally:
            await dismiss(local)
    return list(_told(said))


def _told(said: Readiness) -> Iterator[Finding]:
    if not said.ready:
        remedy = "see that this user may start processes and write to the temporary directory"
        yield fail("keeper", f"it does not start: {said.problem}", remedy)
        return
    yield ok("keeper", f"it starts (version {said.version.partition(',')[0]})")
    if "found by cgroup" in said.version:
        yield ok("cgroups", "each task has a cgroup of its own")
    else:
        why = next((note for note in said.notes if note.startswith("no cgroups")), "")
        remedy = "give it a cgroup v2 to itself: under systemd the unit's Delegate=yes"
        found = "tasks are found by process group and descent, not by cgroup"
        yield warn("cgroups", f"{found}: {why}" if why else found, remedy)


def _awaited(path: Path) -> Finding:
    if answers(path):
        return ok("keeper", f"it listens at {path}")
    remedy = "start it (its unit, where there is one), or let the daemon: "
    remedy += "executors.local.start_keeper = true"
    return fail("keeper", f"nobody listens at {path}", remedy)


def user(local: Local, own: int | None = None) -> Finding:
    """As whom tasks run. `own` is the uid that the keeper would have."""
    own = os.geteuid() if own is None else own
    if not local.user:
        if own == 0:
            remedy = "name a user of their own as executors.local.user"
            return warn("user", "tasks run as root", remedy)
        return ok("user", f"tasks run as uid {own}, as the keeper does")
    uid = _uid(local.user)
    if uid is None:
        remedy = f"make it (adduser --system {local.user}), or name another"
        return fail("user", f"there is no user {local.user!r} here", remedy)
    if own not in (0, uid) and local.start_keeper:
        remedy = "start the keeper as root (its unit), and say start_keeper = false"
        return fail("user", f"a keeper of uid {own} cannot start tasks as uid {uid}", remedy)
    return ok("user", f"tasks run as {local.user} (uid {uid})")


def _uid(name: str) -> int | None:
    uid, colon, _ = name.partition(":")
    if colon:
        return int(uid)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def sandbox(local: Local) -> Finding:
    """Whether what is configured is held."""
    if local.sandbox == "none":
        return ok("sandbox", "none, as configured: tasks see the host as their user does")
    remedy = 'run only what you would run yourself; sandbox = "none" says that it is known'
    return warn("sandbox", f"{local.sandbox} is configured, and not held by this version", remedy)
