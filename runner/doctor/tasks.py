"""Checks of what tasks need: a keeper that starts, and what it can hold them by."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runner.config.model import Config, Local
from runner.doctor.addresses import answers
from runner.doctor.finding import Finding, fail, ok, warn
from runner.executors.local import LocalExecutor
from runner.executors.local.dismissal import dismiss
from runner.executors.local.options import keeper_options
from runner.ports import Readiness

_GROUPS = ("memory", "cpu", "processes")


async def examine(config: Config) -> list[Finding]:
    """The keeper, and what it can hold on this host.

    One is started in a directory of its own and dismissed: the one that is in use is never
    spoken to, since it obeys who spoke last.
    """
    local = config.local
    if not local.enabled:
        return [ok("keeper", "executors.local is not enabled: there is none")]
    who = user(local)
    if not local.start_keeper and local.keeper_socket:
        return [_awaited(Path(local.keeper_socket)), who]
    with tempfile.TemporaryDirectory(prefix="env-runner-") as name:
        os.chmod(name, 0o711)  # noqa: PTH101,S103 - tasks of others must get at theirs, and it is short
        options = keeper_options(
            local.sandbox or "", None, local.users, local.view, root=os.geteuid() == 0
        )
        executor = LocalExecutor(
            Path(name) / "keeper", keeper_options=options, sandbox=local.sandbox or ""
        )
        try:
            said = await executor.probe()
        finally:
            await dismiss(executor)
    closed = None if os.geteuid() or local.sandbox == "none" else _closed(config.state.directory)
    return [*told(said, closed), *([] if _has_own(said) and not local.user else [who])]


def _closed(directory: Path) -> Path | None:
    """The directory on the way to that one through which not everybody may come."""
    there = (each for each in (directory, *directory.parents) if each.exists())
    return next((each for each in there if not each.stat().st_mode & stat.S_IXOTH), None)


def told(said: Readiness, closed: Path | None = None) -> Iterator[Finding]:
    """What a keeper that was started said of itself and of the host. `closed` is a directory
    that keeps the users of tasks from theirs."""
    if said.problem.startswith("no keeper"):
        remedy = "see that this user may start processes and write to the temporary directory"
        yield fail("keeper", f"it does not start: {said.problem}", remedy)
        return
    yield ok(
        "keeper",
        f"it starts (version {said.version.partition(',')[0]})" if said.version else "it starts",
    )
    if said.ready:
        yield _cgroups(said)
    yield _limits(said)
    if closed is None or not said.ready:
        yield _sandbox(said)
    else:
        remedy = f"chmod o+x {closed}, or name another as state.directory"
        found = f"the users of tasks cannot come through {closed} to what is theirs"
        yield warn("sandbox", found, remedy)
    yield _disk(said)
    if note := next((each for each in said.notes if each.startswith("GPUs: ")), ""):
        remedy = "run the keeper as root with cgroups, or use the strict sandbox"
        yield warn("gpu.apart", note, remedy)
    if _has_own(said):
        yield ok("user", f"each running task has a user of its own, of uids {said.user}")


def _cgroups(said: Readiness) -> Finding:
    if "found by cgroup" in said.version:
        return ok("cgroups", "each task has a cgroup of its own")
    why = next((note for note in said.notes if note.startswith("no cgroups")), "")
    remedy = "give it a cgroup v2 to itself: under systemd the unit's Delegate=yes"
    found = "tasks are found by process group and descent, not by cgroup"
    return warn("cgroups", f"{found}: {why}" if why else found, remedy)


def _limits(said: Readiness) -> Finding:
    lacking = [f"{kind}: {said.unheld[kind]}" for kind in _GROUPS if kind in said.unheld]
    if not lacking:
        return ok("limits", "memory, CPU and processes of tasks are held by control groups")
    remedy = (
        "run the keeper by its unit, or as root in a cgroup with these controllers; "
        'policy.limits_not_held = "allow" lets tasks run without'
    )
    return warn("limits", f"not held: {'; '.join(lacking)}", remedy)


def _sandbox(said: Readiness) -> Finding:
    if not said.ready:
        remedy = "mend that, or name another level as executors.local.sandbox"
        return fail("sandbox", said.problem, remedy)
    found = f"{said.level}: {said.why}"
    if said.level == "strict":
        return ok("sandbox", found)
    remedy = (
        "for strict: apt-get install bubblewrap, and let this user make namespaces "
        "(kernel.unprivileged_userns_clone, or root); until then run only what you trust"
    )
    return warn("sandbox", found, remedy)


def _disk(said: Readiness) -> Finding:
    if why := said.unheld.get("disk", ""):
        remedy = "run the keeper as root: only it may mount a workspace of a size"
        return warn("disk", f"the disk of tasks is not limited: {why}", remedy)
    return ok("disk", "each workspace can have a size")


def _has_own(said: Readiness) -> bool:
    """Whether each running task has a user of its own."""
    return said.user.replace("-", "").isdecimal() and "-" in said.user


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
            remedy = "name a user of their own as executors.local.user, or use a sandbox"
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
