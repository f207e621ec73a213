"""The form of the configuration, as one table. What has no effect yet is in `later.py`."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

from runner.config import addresses
from runner.config.executors import check_engines, container, local
from runner.config.gpus import GPUS
from runner.config.later import EXECUTORS, GRPC_TLS, LATER
from runner.config.listening import check_all, check_grpc
from runner.config.model import (
    DOCKER_URL,
    PODMAN_URL,
    Class,
    Grpc,
    Http,
    Logging,
    MinFree,
    Runner,
    Socket,
    State,
)
from runner.config.python import PYTHON
from runner.config.results import RESULTS
from runner.config.secrets import REGISTRIES, SECRETS
from runner.config.tenants import TENANTS
from runner.domain import container_users, image, paths, values
from runner.domain.document import FAULTY, Json
from runner.domain.execution import Resources
from runner.domain.identity import NAME
from runner.domain.payload_form import EXECUTORS as EXECUTOR_NAMES
from runner.domain.payload_form import MODES, RESOURCES
from runner.domain.plan import Mode
from runner.domain.principal import Principal, Role
from runner.domain.refusal import quote
from runner.domain.shape import (
    EMPTY,
    Choice,
    Faults,
    Field,
    Flag,
    ListOf,
    Quantity,
    Record,
    Shape,
    Text,
    whole,
)
from runner.domain.task import TaskClass
from runner.planning.policy import ENV_DENIED, HostPath, Policy

_TEN_YEARS = 10 * 366 * 86_400.0


class _MinFree:
    """A size, or a share such as "5%"."""

    def read(self, value: Json, at: str, faults: Faults) -> Any:
        """A MinFree."""
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,2}(?:\.[0-9]{1,6})?%", value):
            return MinFree(fraction=float(Decimal(value[:-1]) / 100))
        try:
            size = values.size(value)
        except values.Unreadable as error:
            faults.add(at, error.reason, f'{error.message}; or a share such as "5%"')
            return FAULTY
        if size < 0:
            faults.add(at, "OUT_OF_RANGE", "must not be negative")
            return FAULTY
        return MinFree(size=size)

    def schema(self) -> dict[str, Any]:
        """A whole number or a text."""
        return {"type": ["integer", "string"]}


def days(value: Json) -> float:
    """Seconds, from a time that may be in days."""
    return values.seconds(value, days=True)


def _duration() -> Quantity:
    return Quantity(days, 0, _TEN_YEARS, "seconds")


def _grpc(tls: object, **known: Any) -> Grpc:
    del tls
    return Grpc(**known)


def _socket(path: str, name: str, roles: tuple[Any, ...], tenants: tuple[Any, ...]) -> Socket:
    given = frozenset(Role(role) for role in roles if role is not FAULTY)
    principal = Principal(name or f"unix:{path}", given, frozenset(tenants))
    return Socket(Path(path), principal)


def _policy(modes: tuple[Any, ...], **known: Any) -> Policy:
    known["limits_not_held"] = known["limits_not_held"] or ""
    known["networks"] = frozenset(known["networks"])
    if known["executors"] is not None:
        known["executors"] = frozenset(known["executors"])
    return Policy(modes=frozenset(Mode(mode) for mode in modes if mode is not FAULTY), **known)


def _class(modes: tuple[Any, ...] | None, **known: Any) -> Class:
    given = None if modes is None else frozenset(Mode(m) for m in modes if m is not FAULTY)
    return Class(modes=given, **known)


def _image(text: str) -> tuple[str, str] | None:
    if not text or image.parse(text):
        return None
    return "BAD_REFERENCE", f"{quote(text)} is no image reference"


def _user(text: str) -> tuple[str, str] | None:
    """A name is no fault: it grants nothing in a container, and what a native task has anyway."""
    if container_users.parse(text) is not None and (why := container_users.problem(text)):
        return "OUT_OF_RANGE", f"{quote(text)} {why}"
    return None


def _path_or_none(text: str) -> tuple[str, str] | None:
    return paths.absolute(text) if text else None


_tenant: Shape = Text(rf"\*|{NAME}", hint='a tenant\'s name, or "*" for all')
_modes = ListOf(Choice(MODES))
_resources = Record(RESOURCES, Resources)

_class_record = Record(
    {
        "executor": Field(
            Choice(("auto", *EXECUTOR_NAMES)), "Where its tasks run that do not say.", "auto"
        ),
        "image": Field(Text(check=_image), "The image of tasks that name none.", ""),
        "max_running": Field(
            whole(0, 100_000),
            "How many of its tasks run at once; by default as the table below has it.",
        ),
        "max_queued": Field(
            whole(0, 10_000_000),
            "How many may wait; one more is refused with QUEUE_FULL, unless its tenant has none "
            "waiting there and no more than a tenth (at least 16) wait beyond.",
            10_000,
        ),
        "modes": Field(_modes, "Which modes its tasks may have; policy.modes where absent."),
        "defaults": Field(_resources, "What a task gets that asks for nothing.", EMPTY),
        "limits": Field(_resources, "The most that it may ask for.", EMPTY),
    },
    _class,
)

_sockets = Record(
    {
        "path": Field(Text(check=addresses.unix_path), "Where it is.", required=True),
        "name": Field(Text(longest=256), "The caller's name in logs; the path where empty.", ""),
        "roles": Field(ListOf(Choice(tuple(Role))), "What its callers may do.", required=True),
        "tenants": Field(ListOf(_tenant), 'Whose tasks they see; ["*"] for all.', required=True),
    },
    _socket,
)

_host_path = Record(
    {
        "path": Field(Text(check=paths.absolute), "A directory.", required=True),
        "writable": Field(Flag(), "Whether tasks may write to it.", default=False),
    },
    HostPath,
)


def table(listen: str, directory: str) -> Record:
    """The whole form, with the defaults of this host: an address and the state directory."""
    return Record(
        {
            "runner": Field(
                Record(
                    {
                        "id": Field(
                            Text(f"(?:{NAME})?"),
                            "The name of this runner in answers and logs; the host's where empty.",
                            "",
                        ),
                        "queue_memory": Field(
                            Quantity(values.size, 0, 2**40, "bytes"),
                            "Memory for what waiting tasks hold beyond 4 KiB each; with more, new "
                            "ones are refused with QUEUE_FULL. The last eighth is for tenants "
                            "with none waiting in the class.",
                            Runner().queue_memory,
                        ),
                    },
                    Runner,
                ),
                default=EMPTY,
            ),
            "grpc": Field(
                Record(
                    {
                        "listen": Field(
                            ListOf(Text(check=addresses.grpc)),
                            '"unix:/path", or "host:port".',
                            (listen,),
                        ),
                        "insecure": Field(
                            Flag(),
                            "Whether TCP without TLS is allowed, on loopback addresses.",
                            default=False,
                        ),
                        "sockets": Field(
                            ListOf(_sockets), "More unix sockets, each for one caller.", ()
                        ),
                        "max_calls": Field(
                            whole(1, 1_000_000), "Calls at once, followers included.", 4096
                        ),
                        "max_connections": Field(
                            whole(1, 1_000_000), "Connections at once, of each address.", 4096
                        ),
                        "tls": Field(GRPC_TLS),
                    },
                    _grpc,
                    check_grpc,
                ),
                default=EMPTY,
            ),
            "http": Field(
                Record(
                    {
                        "listen": Field(
                            Text(check=addresses.http),
                            '"host:port" of HTTP; port 0 takes a free one, "" switches it off.',
                            Http().listen,
                        ),
                        "public_url": Field(
                            Text(
                                r"(?:https?://[!-~]+)?",
                                "BAD_REFERENCE",
                                check=addresses.public_url,
                            ),
                            "What logs_url begins with; the bound address where empty.",
                            "",
                        ),
                        "hosts": Field(
                            ListOf(Text("[A-Za-z0-9._:*\\[\\]-]+")),
                            "Host headers taken beside localhost and the bound address.",
                            (),
                        ),
                    },
                    Http,
                ),
                default=EMPTY,
            ),
            "state": Field(_state(directory), default=EMPTY),
            "logging": Field(
                Record(
                    {
                        "level": Field(
                            Choice(("debug", "info", "warning", "error")),
                            "The least level that is logged.",
                            "info",
                        ),
                        "format": Field(
                            Choice(("auto", "json", "console")),
                            "The form of log lines; auto is console on a terminal, else json.",
                            "auto",
                        ),
                        "directory": Field(
                            Text(check=_path_or_none),
                            "Where log files are written too, and rotated.",
                            "",
                        ),
                    },
                    Logging,
                ),
                default=EMPTY,
            ),
            "classes": Field(
                Record({name.value: Field(_class_record, default=EMPTY) for name in TaskClass}),
                default=EMPTY,
            ),
            "tenants": Field(TENANTS, default={}),
            "secrets": Field(SECRETS, default=EMPTY),
            "registries": Field(REGISTRIES, default={}),
            "executors": Field(
                Record(
                    {
                        "local": Field(local, default=EMPTY),
                        "docker": Field(
                            container("Docker", DOCKER_URL, enabled=True), default=EMPTY
                        ),
                        "podman": Field(
                            container("Podman", PODMAN_URL, enabled=False), default=EMPTY
                        ),
                        **EXECUTORS,
                    },
                    check=check_engines,
                ),
                default=EMPTY,
            ),
            "gpus": Field(GPUS, default=EMPTY),
            "results": Field(RESULTS, default=EMPTY),
            "python": Field(PYTHON, default=EMPTY),
            "policy": Field(_policy_record, default=EMPTY),
            "testing": Field(
                Record(
                    {
                        "failpoints": Field(
                            Flag(),
                            "Whether ENV_RUNNER_FAILPOINT is heeded: for tests.",
                            default=False,
                        )
                    }
                ),
                default=EMPTY,
            ),
            **LATER,
        },
        check=check_all,
    )


def _state(directory: str) -> Record:
    known = State(Path(directory))
    return Record(
        {
            "directory": Field(
                Text(check=paths.absolute), "Where the journal and the output are.", directory
            ),
            "retention": Field(
                _duration(),
                "How long tasks that ended are kept if nobody acknowledges them.",
                known.retention,
            ),
            "event_retention": Field(
                _duration(), "How long events are kept, for those who watch.", known.event_retention
            ),
            "id_retention": Field(
                _duration(),
                "How long the id of a task is remembered after the task was forgotten.",
                known.id_retention,
            ),
            "min_free": Field(
                _MinFree(), "Free space below which no new task is taken.", known.min_free
            ),
            "reserve": Field(
                Quantity(values.size, 0, 2**40, "bytes"),
                "Space kept back, so that the journal can be written on a full disk.",
                known.reserve,
            ),
        },
        lambda directory, **rest: State(Path(directory), **rest),
    )


_policy_record = Record(
    {
        "modes": Field(_modes, "The modes that tasks may have.", MODES),
        "executors": Field(
            ListOf(Choice(EXECUTOR_NAMES)),
            "The executors they may run on; all that are configured where absent.",
        ),
        "images": Field(
            ListOf(Text(longest=512, shortest=1, check=image.pattern_fault)),
            "Patterns of images that may be run.",
            (),
        ),
        "host_paths": Field(ListOf(_host_path), "Directories below which mounts may lie.", ()),
        "networks": Field(
            ListOf(Choice(("none", "bridge", "host"))), "Networks that tasks may name.", ()
        ),
        "users": Field(
            ListOf(Text(shortest=1, longest=64, check=_user)),
            "Container users that tasks may name, by number; never root.",
            (),
        ),
        "env_denied": Field(
            ListOf(Text("[A-Za-z_*][A-Za-z0-9_*]{0,127}")),
            "Patterns of variables that tasks may not set: they change what is run.",
            ENV_DENIED,
        ),
        "limits_not_held": Field(
            Choice(("refuse", "allow")),
            "What becomes of a limit that this host cannot hold: `allow` grants it all the same "
            "and says so, `refuse` refuses a class's default as well; where absent what a task "
            "asks for is refused, and a default told, or refused too where an engine of containers "
            "holds neither memory nor CPU nor processes.",
        ),
    },
    _policy,
)
