"""The form of `[executors.local]`: where tasks run on this host, and what keeps them apart.

Not here: the executors of later versions (`later.py`).
"""

from __future__ import annotations

from runner.config import addresses
from runner.config.model import TASK_USERS, Local
from runner.domain import paths
from runner.domain.refusal import quote
from runner.domain.shape import Choice, Field, Flag, ListOf, Record, Text

_FIRST = 1000  # below are the users of the system itself
_BEYOND = 2**32 - 1  # "leave it as it is", to the kernel


def _uids(text: str) -> tuple[str, str] | None:
    first, last = map(int, text.split("-"))
    if not _FIRST <= first <= last < _BEYOND:
        return "OUT_OF_RANGE", f"{quote(text)} is no range of uids from {_FIRST} to {_BEYOND - 1}"
    return None


local = Record(
    {
        "enabled": Field(Flag(), "Whether tasks run on this host itself.", default=True),
        "sandbox": Field(
            Choice(("strict", "standard", "none")),
            "How tasks are kept apart from the host and from each other; the best that the host "
            "can hold where absent. As root, `none` only where it is named.",
        ),
        "user": Field(
            Text(
                "(?:[a-z_][a-z0-9_-]{0,31}|[0-9]{1,10}:[0-9]{1,10})?",
                hint="a user's name, or uid:gid",
            ),
            "As whom tasks run that have no user each (sandbox `none`, or `standard` where "
            'this is given); "" is the keeper\'s own user.',
            "",
        ),
        "users": Field(
            Text(
                "[0-9]{1,10}-[0-9]{1,10}", check=_uids, hint='a range of uids such as "2000-2999"'
            ),
            "Uids (and gids) of which each running task has one, where a keeper that the daemon "
            "starts is root.",
            TASK_USERS,
        ),
        "view": Field(
            ListOf(Text(check=paths.absolute)),
            "Host paths that tasks in the strict sandbox of a keeper that the daemon starts can "
            "read; the system's programs and libraries where absent.",
        ),
        "keeper_socket": Field(
            Text(check=addresses.unix_path_or_none),
            "Where the keeper listens; below the state if empty.",
            "",
        ),
        "keeper_root": Field(
            Text("(?:/.*)?", hint="an absolute path"),
            "Where the keeper keeps tasks' files; beside its socket if empty.",
            "",
        ),
        "start_keeper": Field(
            Flag(),
            "Whether the daemon starts a keeper where it finds none. One that runs keeps the "
            "options that it was started with; it leaves a minute after daemon and last task.",
            default=True,
        ),
    },
    Local,
)
