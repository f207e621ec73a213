"""The control groups of attempts: by them all of an attempt is limited, counted, found, killed
and proven gone, also whoever called setsid.

Each attempt has a group of version 2, below `env-runner.<hash of the root>` in the keeper's own
group, so that two keepers never meet. Limits are set there where version 2 has the controllers,
else in groups of the old hierarchies beside it. Where there is no version 2, `tracing.py` does
what can be done.
"""

from __future__ import annotations

import binascii
import contextlib
import os
from collections.abc import Mapping

from runner.keeper import cgroups_tree as tree
from runner.keeper import cgroups_v1 as v1
from runner.keeper import cgroups_v2 as v2
from runner.keeper import device_rules, syscalls
from runner.keeper.cgroups_group import Group
from runner.keeper.device_rules import Rules

KINDS = ("memory", "cpu", "processes")

Limits = Mapping[str, float | None]
"""By kind: bytes of memory, cores, processes; None or nothing for no limit."""

NO_LIMITS: Limits = {}
_PROBE = ".probe"  # with a dot: no attempt is called so
_PROBED: Limits = {"memory": 64 * 2**20, "cpu": 0.1, "processes": 16}


class Unavailable(Exception):
    """There can be no cgroups here; the text says why."""


class Membership:
    """What puts a process into a group: fork into `directory`, then let the child write `0` to
    each of `files` before it does anything else. Open until `close`."""

    def __init__(self, directory: int) -> None:
        self.directory = directory
        self.files: list[int] = []

    def close(self) -> None:
        """Close the descriptors; the group stays."""
        for descriptor in (self.directory, *self.files):
            os.close(descriptor)
        self.files = []


class Cgroups:
    """The groups of one keeper. `path` is the base of those of version 2; a group is known by
    its handle name. `held` says for each of KINDS why such a limit cannot be held here, and
    nothing where it can; `devices` likewise of keeping a group from devices."""

    def __init__(self, root: str) -> None:
        """Make the bases and try them out. Raises Unavailable."""
        number = binascii.crc32(os.path.realpath(root).encode())
        base = f"env-runner.{number:08x}"
        self._new: set[str] = set()  # kinds whose limits are set in version 2
        self._old: dict[str, str] = {}  # bases in the old hierarchies, by kind
        self.path = ""
        self.devices = ""
        try:
            own = tree.own_directories()
            if tree.V2 not in own:
                raise Unavailable("no cgroup v2 is mounted that holds this process")
            self._own = v2.Own(own[tree.V2], f"{base}.keeper")
            self.path = f"{self._own.path}/{base}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path)
            v2.hand_on(self.path, self._own.offered)
            self.held = self._try(own, base)
        except OSError as error:
            self.close()
            raise Unavailable(tree.why(self.path or "/proc/self", error)) from error

    def _try(self, own: dict[str, str], base: str) -> dict[str, str]:
        """Find for each kind who holds it, and why nobody does. Raises OSError."""
        tree.remove(f"{self.path}/{_PROBE}")
        os.mkdir(f"{self.path}/{_PROBE}")
        held = {}
        try:
            for kind in KINDS:
                directory = own.get(v1.CONTROLLERS[kind])
                held[kind] = self._try_new(kind)
                if kind not in self._new and directory is not None:
                    held[kind] = self._try_old(kind, f"{directory}/{base}")
            membership = self.create(_PROBE, _PROBED)
            joined = _join(membership)
            self.devices = _try_devices(membership)
            membership.close()
        finally:
            self.remove(_PROBE)
        if not joined:
            for kind, path in self._old.items():
                held[kind] = f"processes cannot be moved to {path}"
                tree.remove(path)
            self._old = {}
        return held

    def _try_new(self, kind: str) -> str:
        if kind in self._own.missing:
            return self._own.missing[kind]
        path = f"{self.path}/{_PROBE}"
        wanted = v2.settings(kind, _PROBED[kind] or 0)
        try:
            tree.apply(path, wanted)
        except OSError as error:
            return tree.why(path, error)
        if tree.word(f"{path}/{wanted[0][0]}") != wanted[0][1]:
            return f"{path}/{wanted[0][0]} does not keep what is written to it"
        self._new.add(kind)
        return v2.refusal(path, kind)

    def _try_old(self, kind: str, base: str) -> str:
        path = f"{base}/{_PROBE}"
        try:
            for directory in (base, path):
                with contextlib.suppress(FileExistsError):
                    os.mkdir(directory)
            v1.apply(path, kind, _PROBED[kind] or 0)
        except OSError as error:
            for directory in (path, base):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
            return tree.why(base, error)
        self._old[kind] = base
        return v1.refusal(path, kind)

    @property
    def bases(self) -> set[str]:
        """The directories in which this keeper's groups are, and nobody else's."""
        return {self.path, *self._old.values()}

    # --- groups -----------------------------------------------------------------------------

    def record(self, name: str) -> str:
        """Where the group of that name is or would be, for `Group`, by whichever keeper: a line
        for that of version 2, then one for each of the old ones, with its kind."""
        old = [f"{kind} {base}/{name}" for kind, base in self._old.items()]
        return "\n".join([f"{self.path}/{name}", *old])

    def group(self, name: str) -> Group:
        """The group of that name, there or not."""
        return Group(self.record(name))

    def create(
        self, name: str, limits: Limits = NO_LIMITS, rules: Rules | None = None
    ) -> Membership:
        """A new group, also instead of an empty one of that name. Limits of kinds that are not
        held are set as far as they can be, and rules for devices where those are. Raises OSError;
        then nothing is left."""
        group = self.group(name)
        with contextlib.ExitStack() as undo:
            _make(group.path)
            undo.callback(group.remove)
            membership = Membership(os.open(group.path, os.O_RDONLY | os.O_DIRECTORY))
            undo.callback(membership.close)
            if rules is not None and not self.devices:
                device_rules.attach(membership.directory, rules)
            made: set[str] = set()
            for kind in KINDS:
                amount = limits.get(kind)
                if amount is None:
                    continue
                if kind in self._new:
                    tree.apply(group.path, v2.settings(kind, amount))
                elif kind in group.old:
                    path = group.old[kind]
                    if path not in made:  # else two controllers are mounted as one
                        _make(path)
                        made.add(path)
                        membership.files.append(os.open(f"{path}/tasks", os.O_WRONLY))
                    v1.apply(path, kind, amount)
            undo.pop_all()
        return membership

    def limit(self, name: str, kind: str, amount: float) -> None:
        """Change a limit that a group was made with, where that kind is held. Raises OSError."""
        group = self.group(name)
        if kind in self._new:
            tree.apply(group.path, v2.settings(kind, amount))
        elif kind in group.old:
            v1.apply(group.old[kind], kind, amount)

    def names(self) -> list[str]:
        """The groups that are there, in any hierarchy."""
        found: set[str] = set()
        for base in self.bases:
            with contextlib.suppress(OSError), os.scandir(base) as entries:
                found |= {each.name for each in entries if each.is_dir(follow_symlinks=False)}
        return sorted(found)

    def remove(self, name: str) -> None:
        """See `Group.remove`."""
        self.group(name).remove()

    def close(self) -> None:
        """Remove the bases, where nothing is left in them."""
        for base in self.bases - {""}:
            with contextlib.suppress(OSError):
                os.rmdir(base)
        if not os.path.exists(self.path) and hasattr(self, "_own"):
            self._own.leave()


def _make(path: str) -> None:
    """Make a group, with counters that begin at nothing. Raises OSError."""
    try:
        os.mkdir(path)
    except FileExistsError:
        tree.remove(path)
        os.mkdir(path)


def _try_devices(membership: Membership) -> str:
    """Why a group cannot be kept from devices; empty where it can. The group is not to be used
    for anything else then."""
    null = os.stat("/dev/null")
    try:
        if device_rules.holds(membership.directory, "/dev/null", [os.major(null.st_rdev)]):
            return ""
    except OSError as error:
        user = "" if os.geteuid() == 0 else ", and the keeper is not root"
        return f"a group cannot have rules for devices (BPF): {error.strerror}{user}"
    return "rules for devices (BPF) do not hold here"


def _join(membership: Membership) -> bool:
    """Whether a process can join. Raises OSError where it cannot be forked into the directory."""
    child = syscalls.clone_into(membership.directory)
    if child == 0:
        status = 1
        with contextlib.suppress(OSError):
            for file in membership.files:
                os.write(file, b"0")
            status = 0
        os._exit(status)
    return os.waitpid(child, 0)[1] == 0
