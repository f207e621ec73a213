"""What the executor of one engine is told once: where its tasks' files are, whose containers
they are, and as whom they run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from runner.planning.policy import HostPath

LABEL = "env-runner."
"""What each label of a container begins with that this runner sets."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`name` is the executor's, `socket` the engine's. `root` is the directory of attempts.

    `runner` tells this runner's containers from those of others on the same engine. `user` is
    "uid:gid", for tasks that name none. `granted` tells the host paths below which mounts may lie,
    as the configuration has them when it is asked, and `unheld_allowed` whether a task may run
    with a limit that its engine does not hold.
    `grace` is seconds that a container of an earlier life is left alone before it is swept.
    `owner` is the process that containers go with (`owners.py`), empty for a daemon's.
    """

    name: str
    socket: str
    root: Path
    runner: str
    user: str
    granted: Callable[[], Sequence[HostPath]] = tuple
    unheld_allowed: Callable[[], bool] = bool
    grace: float = 300.0
    hard: Mapping[str, int] = field(default_factory=dict)  # limits that this process has
    owner: str = ""

    def container(self, handle_name: str) -> str:
        """The name of an attempt's container."""
        return container(self.runner, str(self.root), handle_name)


def container(runner: str, root: str, handle_name: str) -> str:
    """The name of an attempt's container, of whichever runner. It ends in eight characters that
    are the runner's: two of one name, as on one host, have their state in different places."""
    mark = hashlib.sha256(f"{runner}\0{root}".encode()).hexdigest()[:8]
    return f"{handle_name}-{mark}"
