"""Secrets that lie in a directory of this host, one file each: the file's name is the secret's.

Only what cannot have been put there by others is taken: a plain file that only its owner and
group may read, with no link to it or on the way below the directory. A tenant that is not named
has none, and is told so in the same words as of a secret that is not there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

from runner.domain.identity import NAME
from runner.ports import SecretUnfit

LARGEST = 64 * 1024
"""Bytes of a secret."""

_NAME = re.compile(NAME)


class DirectorySecrets:
    """See `runner.ports.Secrets`. `tenants` are those who have them; `note` hears of files that
    are there and are not taken."""

    def __init__(self, path: Path, tenants: frozenset[str], note: Callable[..., None]) -> None:
        self._path, self._tenants, self._note = path, tenants, note

    def serves(self, tenant: str) -> bool:
        """Whether the tenant has any."""
        return tenant in self._tenants

    async def get(self, tenant: str, name: str) -> bytes | None:
        """The secret's bytes, None where this tenant has no such. Raises SecretUnfit."""
        if not self.serves(tenant) or not _NAME.fullmatch(name):
            return None
        try:
            return await asyncio.to_thread(self._read, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            link = error.errno == errno.ELOOP
            raise self._unfit(
                name, "is a link" if link else f"cannot be read: {error.strerror}"
            ) from error

    def _unfit(self, name: str, why: str) -> SecretUnfit:
        self._note("secret not taken", secret=name, why=why)
        return SecretUnfit(why)

    def _read(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        file = os.open(self._path / name, flags)
        try:
            about = os.fstat(file)
            if why := _unfit(about):
                raise self._unfit(name, why)
            data = os.read(file, LARGEST + 1)
            if len(data) > LARGEST:
                raise self._unfit(name, f"is over {LARGEST} bytes")
            return data
        finally:
            os.close(file)


def _unfit(about: os.stat_result) -> str:
    if not stat.S_ISREG(about.st_mode):
        return "is no plain file"
    if about.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        return "is open to others: chmod 640 or less"
    return ""
