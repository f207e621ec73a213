"""Whose word counts about a device: who may write in its lock file, and so could keep it anyway.

What a lease names (a directory, a process, a control group) anybody may make who learns the name.
Not here: what is looked for (`gpu_leftovers.py`), and what a lease says (`gpu_lease.py`).
"""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path


class Writers:
    """Root and who else may write in the file of which that is told."""

    def __init__(self, about: os.stat_result) -> None:
        self._about = about
        self._known: dict[int, bool] = {}

    def has(self, uid: int) -> bool:
        """Whether that user is one. May take its time: groups may be another host's to tell."""
        if uid not in self._known:
            self._known[uid] = uid in {0, self._about.st_uid} or self._shared(uid)
        return self._known[uid]

    def _shared(self, uid: int) -> bool:
        mode, group = self._about.st_mode, self._about.st_gid
        if mode & stat.S_IWOTH:
            return True
        if not mode & stat.S_IWGRP:
            return False
        try:
            user = pwd.getpwuid(uid)
            return group in os.getgrouplist(user.pw_name, user.pw_gid)
        except (KeyError, OSError):
            return False

    def own(self, path: Path) -> bool:
        """Whether what is there is one's, reached by nobody else's link. Raises OSError,
        FileNotFoundError too."""
        for each in (*reversed(path.parents), path):
            about = each.lstat()
            if stat.S_ISLNK(about.st_mode) and not self.has(about.st_uid):
                return False
        return self.has(path.stat().st_uid)
