"""Keys of interfaces.md whose subject this version does not have: read by form, so that one
file serves several versions, and without effect, which the notes say.

Nothing here may be harmful when it is passed over: an executor that is missing can't be
switched on, and what would grant a right grants none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.domain import paths, values
from runner.domain.pointer import below
from runner.domain.principal import Role
from runner.domain.shape import (
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

_file = Text(check=paths.absolute)
_word = Text(longest=512)
_url = Text("[a-z0-9+]{1,10}:/?/?[!-~]+", "BAD_REFERENCE", "a URL is meant", longest=2048)
_words = ListOf(_word)


def _record(**shapes: Shape) -> Record:
    return Record({name: Field(shape) for name, shape in shapes.items()})


GRPC_TLS = _record(certificate=_file, key=_file, client_ca=_file)

_principal = _record(
    name=_word,
    token_sha256=Text("[0-9a-fA-F]{64}", "BAD_REFERENCE", "64 hexadecimal digits", longest=64),
    roles=ListOf(Choice(tuple(Role))),
    tenants=_words,
)

_s3 = _record(
    endpoint=_url,
    region=_word,
    access_key_id=_word,
    secret_access_key=Text(longest=512, secret=True),
    buckets=_words,
    path_style=Flag(),
    allow_http=Flag(),
)

LATER: Mapping[str, Field] = {
    "auth": Field(_record(principals=ListOf(_principal)), "Who may call."),
    "audit": Field(_record(path=_file), "A log of who asked for what."),
    "artifacts": Field(
        _record(
            file_roots=ListOf(_record(path=_file, writable=Flag())),
            http=_record(hosts=_words, allow_private=Flag()),
            s3=_s3,
        ),
        "Where inputs come from and outputs go.",
    ),
    "sinks": Field(
        _record(
            file=_record(path=_file),
            webhook=_record(url=_url),
            reddb=_record(url=_url, namespace=_word, stream=_word),
            kafka=_record(servers=_words, topic=_word),
        ),
        "Where events go.",
    ),
}


def _refuse_enabled(executor: dict[str, Any], at: str, faults: Faults) -> None:
    if executor["enabled"] is True:
        name = at.rpartition("/")[2]
        message = f"this version can't run executor {name}; leave it out, or set it to false"
        faults.add(below(at, "enabled"), "OUT_OF_RANGE", message)


def _executor(**shapes: Shape) -> Field:
    fields = {"enabled": Flag(), **shapes}
    return Field(
        Record(
            {name: Field(shape) for name, shape in fields.items()},
            check=_refuse_enabled,
        )
    )


_ssh_host = _record(
    name=_word,
    address=_word,
    port=whole(1, 65_535),
    user=_word,
    key=_file,
    known_hosts=_file,
)

EXECUTORS: Mapping[str, Field] = {
    "slurm": _executor(
        slurm_conf=_file,
        directory=_file,
        partitions=_words,
        accounts=_words,
        poll_interval=Quantity(values.seconds, 0.1, 3600, "seconds"),
    ),
    "kubernetes": _executor(kubeconfig=_word, namespaces=_words),
    "ssh": _executor(hosts=ListOf(_ssh_host)),
}


def notes(tree: Mapping[str, Any]) -> Iterator[str]:
    """A line for each section in `tree` that is without effect here."""
    given = [name for name in LATER if tree.get(name)]
    grpc = tree.get("grpc")
    if isinstance(grpc, dict) and grpc.get("tls"):
        given.append("grpc.tls")
    executors = tree.get("executors")
    if isinstance(executors, dict):
        given += [f"executors.{name}" for name in EXECUTORS if executors.get(name)]
    for name in given:
        yield f"[{name}] is read, and has no effect in this version"
