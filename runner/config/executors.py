"""The form of `[executors.local]`, `[executors.docker]` and `[executors.podman]`: where tasks
run on this host, and what keeps them apart.

Not here: the executors of later versions (`later.py`).
"""

from __future__ import annotations

import posixpath
from typing import Any

from runner.config import addresses
from runner.config.model import TASK_USERS, Container, Local
from runner.domain import container_users, paths, values
from runner.domain.pointer import below
from runner.domain.refusal import quote
from runner.domain.shape import Choice, Faults, Field, Flag, ListOf, Quantity, Record, Text

_FIRST = 1000  # below are the users of the system itself
_BEYOND = 2**32 - 1  # "leave it as it is", to the kernel


def _uids(text: str) -> tuple[str, str] | None:
    first, last = map(int, text.split("-"))
    if not _FIRST <= first <= last < _BEYOND:
        return "OUT_OF_RANGE", f"{quote(text)} is no range of uids from {_FIRST} to {_BEYOND - 1}"
    return None


def _url(text: str) -> tuple[str, str] | None:
    path = text.removeprefix("unix://")
    if path == text:
        message = "an engine on this host is meant, by its unix socket: unix:///path"
        return "BAD_REFERENCE", f"{quote(text)}: {message}"
    return paths.absolute(path)


def _user(text: str) -> tuple[str, str] | None:
    if text and (why := container_users.problem(text)):
        return "OUT_OF_RANGE", f"{quote(text)} {why}"
    return None


def container(name: str, url: str, *, enabled: bool) -> Record:
    """The form of an executor of containers."""
    return Record(
        {
            "enabled": Field(
                Flag(),
                f"Whether tasks run in containers of {name}, where its socket is there.",
                default=enabled,
            ),
            "url": Field(
                Text(check=_url),
                "The unix socket of its engine. Who may use that of one that is root's, is root.",
                url,
            ),
            "user": Field(
                Text("(?:[0-9]{1,10}:[0-9]{1,10})?", hint="uid:gid", check=_user),
                "As whom containers run that name no user, never root; the daemon's own ids where "
                "empty, or 65534:65534 where that is root.",
                "",
            ),
            "image_space": Field(
                Quantity(values.size, 0, 2**60, "bytes"),
                "Room for the images that it pulled: of those above it, the least recently used "
                "are removed. Without a bound where absent.",
            ),
            "leftovers_after": Field(
                Quantity(values.seconds, 0, 86_400, "seconds"),
                "How old a container of this runner must be, of which the runner knows nothing, "
                "before it is removed.",
                300.0,
            ),
        },
        Container,
    )


def check_engines(executors: dict[str, Any], at: str, faults: Faults) -> None:
    """For the section: no engine is there twice, since each executor would take the other's
    containers for its own."""
    docker, podman = executors["docker"], executors["podman"]
    if not (isinstance(docker, Container) and isinstance(podman, Container)):
        return  # that is told already
    if docker.enabled and podman.enabled and _place(docker) == _place(podman):
        message = f"{quote(podman.url)} is Docker's already, by executors.docker.url; one of the "
        faults.add(below(below(at, "podman"), "url"), "CONFLICT", f"{message}two is to be off")


def _place(of: Container) -> str:
    path = posixpath.normpath(of.socket)
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


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
