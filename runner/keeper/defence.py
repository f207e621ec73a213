"""What this keeper lets be asked of it, whatever the daemon says: users, levels, limits, mounts.

It is root where the daemon is not, so each launch is judged here by how the keeper was started
and by nothing that the daemon knows better. Whether a message is one at all is `messages.py`.
"""

from __future__ import annotations

import fcntl
import os
import pwd
from typing import TYPE_CHECKING

from runner.keeper import devices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runner.keeper.messages import Message
    from runner.keeper.users import Pool

_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW
_GIVEN_LIMIT = 1024 * 1024
"""Bytes of stdin and of the context: both come out of a payload, which has no more."""
_ON_HOST = ("disk", "none")
_CLOSED = ("/proc", "/dev", "/sys", "/run/env-runner", "/workspace")
_VIEWED = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")


class Refused(Exception):
    """A request that is not done. `code` is for programs."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Settings:
    """How the keeper was started, and what it found it can hold here."""

    def __init__(self) -> None:
        self.version = ""
        self.daemon_uid: int | None = None
        self.users: list[range] | None = None  # uids that the daemon may name
        self.pool: Pool | None = None  # uids of which each task gets one
        self.view: list[str] | None = None  # of the host, in the strict sandbox
        self.ahead = True  # whether what the next task needs is made before it comes
        self.allow_none = False  # tasks without a sandbox, though the keeper is root
        self.most: dict[
            str, float
        ] = {}  # by limit: bytes of memory, disk, output; cores; processes
        self.mounts: dict[str, bool] = {}  # what may be mounted, and whether to be written to
        self.notes: list[str] = []
        self.levels: dict[str, str] = {}  # why not, by level; empty where it can be held
        self.held: dict[str, str] = {}  # likewise by limit
        self.devices = ""  # why tasks that see the host's devices cannot be kept from GPUs

    def find_levels(self, strict: str) -> None:
        """Work out `levels`; `strict` is why the sandbox cannot be had here."""
        root = os.geteuid() == 0
        users = self.pool is not None or self.users is not None
        lacking = "the keeper is root and has no users for tasks (--task-users)"
        own = "the keeper is not root: it cannot give tasks a user of their own"
        none = "the keeper is root and was started without --allow-none"
        self.levels = {
            "strict": lacking if root and self.pool is None else strict,
            "standard": own if not root else "" if users else lacking,
            "none": none if root and not (self.allow_none or self.users is not None) else "",
        }


def check_launch(settings: Settings, request: Message, peer: int) -> None:
    """Whether the daemon, whose uid is `peer`, may launch that. Raises Refused."""
    level = request["level"]
    if why := settings.levels[level]:
        raise Refused("LEVEL_NOT_HELD", f"level {level} cannot be held here: {why}")
    _check_user(settings, level, request["user"], peer)
    _check_limits(settings, request)
    if level != "strict" and request["mounts"]:
        raise Refused("BAD_MOUNT", f"level {level} shows the host as it is: nothing is mounted")
    if level != "strict" and request["network"] == "none":
        raise Refused("LEVEL_NOT_HELD", f"level {level} has the host's network")
    for mount in request["mounts"]:
        _check_target(mount["target"])
        _check_source(settings, mount)


def devices_of(request: Message) -> tuple[devices.Device, ...]:
    """The nodes that the task is given, as they are on this host. Raises Refused."""
    try:
        return devices.look(request.get("devices", ()))
    except devices.Unfit as error:
        raise Refused("BAD_DEVICE", str(error)) from error


def pooled(request: Message) -> bool:
    """Whether the task gets a user of the pool, which the keeper chooses."""
    return os.geteuid() == 0 and request["level"] != "none" and request["user"] is None


def _check_user(settings: Settings, level: str, user: list[int] | None, peer: int) -> None:
    own = os.geteuid()
    uid, gid = user or (own, os.getegid())
    if own != 0:
        if uid != own or gid not in (os.getegid(), *os.getgroups()):
            raise Refused(
                "WRONG_USER", f"a keeper that runs as uid {own} cannot become {uid}:{gid}"
            )
        return
    if level != "none" and user is None:
        if settings.pool is None:
            raise Refused("WRONG_USER", "the keeper has no users of its own (--task-users)")
        return
    if level == "strict" or (settings.pool is not None and uid in settings.pool):
        raise Refused("WRONG_USER", f"the keeper chooses who gets uid {uid}, not the daemon")
    if settings.users is not None:
        allowed = any(uid in users for users in settings.users)
    else:
        allowed = settings.allow_none and peer in (0, uid)
    if not allowed:
        raise Refused("WRONG_USER", f"tasks may not run as uid {uid} (see --allow-users)")
    if peer != 0 and gid != _primary_group(uid):
        raise Refused("WRONG_USER", f"group {gid} is not that of uid {uid}")


def _check_limits(settings: Settings, request: Message) -> None:
    limits: Mapping[str, float | None] = request["limits"]
    memory, disk = limits["memory"], limits["disk"]
    for name, asked in (
        ("memory", None if memory is None else memory + (disk or 0)),
        ("cpu", limits["cpu"]),
        ("processes", limits["processes"]),
        ("disk", disk),
        ("output", request["output"]),
    ):
        if asked is None and (settings.held.get(name) or (name, request["level"]) == _ON_HOST):
            continue  # nobody could hold one here
        most = settings.most.get(name)
        if most is not None and (asked is None or asked > most):
            text = f"{name}: {'no limit' if asked is None else asked} is over this keeper's {most}"
            raise Refused("OVER_CEILING", f"{text} (--max-{name})")
    if disk is not None and settings.held.get("disk"):
        raise Refused("LIMIT_NOT_HELD", f"disk: {settings.held['disk']}")


def _check_source(settings: Settings, mount: Message) -> None:
    """Whether that of the host may be seen by a task. Raises Refused. What a keeper that is not
    root may open, its daemon may as well."""
    source: str = mount["source"]
    if os.geteuid() != 0:
        return
    if ".." in source.split("/"):
        raise Refused("BAD_MOUNT", f"{source[:200]} is no plain path")
    granted = [writable for path, writable in settings.mounts.items() if _below(source, path)]
    if not granted:
        raise Refused("BAD_MOUNT", f"this keeper may not mount {source[:200]} (see --mounts)")
    if not mount["read_only"] and not any(granted):
        raise Refused("BAD_MOUNT", f"{source[:200]} may not be written to (see --mounts)")


def _below(path: str, directory: str) -> bool:
    return directory == "/" or _within(os.path.normpath(path), directory)


def _check_target(target: str) -> None:
    """Whether something may be mounted there in a sandbox. Raises Refused."""
    parts = target.split("/")[1:]
    if any(part in ("", ".", "..") for part in parts):
        raise Refused("BAD_MOUNT", f"{target[:200]} is no plain absolute path")
    for closed in (*_CLOSED, *_VIEWED):
        if _within(target, closed) or _within(closed, target):
            raise Refused("BAD_MOUNT", f"nothing is mounted at {target[:200]}: {closed} is there")


def _within(path: str, directory: str) -> bool:
    return f"{path}/".startswith(f"{directory}/")


def _primary_group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid  # a made-up user has a made-up group


def check_sealed(files: Sequence[int], count: int) -> None:
    """Whether these are `count` sealed memfds; puts each to its beginning. Raises Refused."""
    if len(files) != count:
        raise Refused("BAD_FILES", "not the descriptors that the launch names")
    for file in files:
        try:
            sealed = fcntl.fcntl(file, fcntl.F_GET_SEALS) & _SEALS == _SEALS
        except OSError:
            sealed = False
        if not sealed:
            raise Refused("BAD_FILES", "a descriptor that is no sealed memfd")
        if os.fstat(file).st_size > _GIVEN_LIMIT:
            raise Refused("BAD_FILES", f"a descriptor with over {_GIVEN_LIMIT} bytes")
        os.lseek(file, 0, os.SEEK_SET)
