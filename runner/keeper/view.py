"""What of the host a task in the strict sandbox may see, and the sandbox as this keeper makes it.

Read-only, and only what programs need to run: no configuration of the host's services, no
accounts, no other users' files.
"""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Sequence
from typing import TypedDict

from runner.keeper import containment, mounting, syscalls
from runner.keeper.bubblewrap import Bubblewrap, Mount, Unavailable, View
from runner.keeper.disk import DISK, MOUNTS
from runner.keeper.spawn import User

DEFAULT = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/alternatives"),
    *("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs"),
    *("/etc/localtime", "/etc/timezone", "/etc/locale.alias", "/etc/os-release"),
    *("/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/gai.conf"),
    *("/etc/mime.types", "/etc/services", "/etc/protocols", "/etc/python3*"),
)
"""Patterns; what is not there is not seen."""


class Wanted(TypedDict):
    """A mount as a launch asks for it."""

    source: str
    target: str
    read_only: bool


class Sandboxes:
    """Makes views below a keeper's root. `problem` says why there can be no sandbox."""

    def __init__(self, root: str, paths: Sequence[str] | None, user: User | None) -> None:
        """`paths` are seen instead of the default ones; `user` is whom to try one as, None for
        the keeper's own."""
        self.root = root
        found = (match for path in paths or DEFAULT for match in sorted(glob.glob(path)))
        self.paths = tuple(dict.fromkeys(found))
        self.bubblewrap: Bubblewrap | None = None
        if os.geteuid() == 0 and user is None:
            self.problem = "root's tasks would be root"
            return
        try:
            self.bubblewrap = Bubblewrap()
            view = View(self.paths, f"{root}/.probe-sandbox")
            self.problem = containment.problem(self.bubblewrap, view, user)
        except Unavailable as error:
            self.problem = str(error)

    @property
    def calls(self) -> bytes:
        """See `Bubblewrap`."""
        return b"" if self.bubblewrap is None else self.bubblewrap.calls

    def state(self) -> object:
        """The host's paths as a sandbox shows them: not equal once one has changed so that a
        sandbox made earlier shows something else."""
        return None if self.bubblewrap is None else self.bubblewrap.state(self.paths)

    def view(
        self, name: str, mounts: Sequence[Wanted], *, network: bool, devices: tuple[str, ...] = ()
    ) -> View:
        """What an attempt sees whose disk is there. Raises OSError where a mount cannot be
        had: ELOOP where a link is in its way."""
        base = f"{self.root}/{name}"
        made = []
        for number, wanted in enumerate(mounts):
            source = _pinned(f"{base}/{MOUNTS}", number, wanted)
            made.append(Mount(source, wanted["target"], wanted["read_only"]))
        return View(self.paths, f"{base}/{DISK}", tuple(made), network, devices)


def _pinned(directory: str, number: int, wanted: Wanted) -> str:
    """A path at which exactly what was checked is seen, whoever changes what leads to it. A
    keeper that is not root cannot make such a path, but nor can it do more than its tasks."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY)
    try:
        source = syscalls.open_beneath(root, wanted["source"].lstrip("/") or ".", os.O_PATH)
    finally:
        os.close(root)
    try:
        kind = os.fstat(source).st_mode
        if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind) or stat.S_ISSOCK(kind)):
            raise OSError(errno.EINVAL, "neither a directory nor a file", wanted["source"])
        if os.geteuid() != 0:
            return wanted["source"]
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o711)  # noqa: S103 - bubblewrap comes through as the task's user
        path = f"{directory}/{number}"
        if stat.S_ISDIR(kind):
            os.mkdir(path, 0o711)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        mounting.bind(source, path, read_only=wanted["read_only"])
        return path
    finally:
        os.close(source)
