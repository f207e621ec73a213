"""What client commands share: the payload, the connection, errors of the daemon, JSON."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message

from runner.cli.exits import Code, Failed
from supervisor.client import Supervisor
from supervisor.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
    ResourceExhausted,
    SupervisorError,
    Unavailable,
)

T = TypeVar("T")

CONNECT_TIMEOUT = 1.0  # seconds: a daemon that is being restarted is back; nobody there is told
PAYLOAD_LIMIT = 1 << 20  # bytes, as the protocol has it

REFUSALS = (
    InvalidArgument,
    AlreadyExists,
    PermissionDenied,
    FailedPrecondition,
    ResourceExhausted,
)


def ask(address: str | None, what: Callable[[Supervisor], Awaitable[T]]) -> T:
    """Connect, run `what` with the client, disconnect. Raises Failed for the daemon's errors."""
    return asyncio.run(_ask(address, what))


async def _ask(address: str | None, what: Callable[[Supervisor], Awaitable[T]]) -> T:
    async with Supervisor(address, connect_timeout=CONNECT_TIMEOUT) as runner:
        try:
            return await what(runner)
        except SupervisorError as error:
            raise Failed(sentence(error, runner.address), code(error)) from error


def code(error: SupervisorError) -> int:
    """The exit code for an error of the daemon's, or for its absence."""
    absent = isinstance(error, Unavailable) and not error.reason
    return Code.NO_DAEMON if absent else Code.ERROR


def refused(error: SupervisorError, address: str) -> Failed:
    """The same for a task that was not taken."""
    told = code(error)
    turned_away = isinstance(error, REFUSALS) or (isinstance(error, Unavailable) and error.reason)
    return Failed(sentence(error, address), Code.REFUSED if turned_away else told)


def sentence(error: SupervisorError, address: str) -> str:
    """The error in one line: what was wrong, where, and what to do."""
    if isinstance(error, Unavailable) and not error.reason:
        return f"no daemon answers at {address}; start one with `env-runner serve`"
    faults = [
        f"{each.field}: {each.message}" if each.message else f"{each.field}: {each.reason}"
        for each in error.violations
    ]
    text = "; ".join(faults) if faults else error.message
    if error.reason:
        text += f" ({error.reason}{', rule ' + error.rule if error.rule else ''})"
    if error.retry_after is not None:
        text += f"; try again in {error.retry_after:g} s"
    return text


def read_payload(name: str) -> bytes:
    """The bytes of PAYLOAD, a file's name or `-`. Raises Failed where it cannot be read."""
    try:
        if name == "-":
            payload = sys.stdin.buffer.read(PAYLOAD_LIMIT + 1)
        else:
            with Path(name).open("rb") as file:
                payload = file.read(PAYLOAD_LIMIT + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise Failed(f"PAYLOAD {name!r} cannot be read: {why}", Code.USAGE) from error
    if len(payload) > PAYLOAD_LIMIT:
        raise Failed("payload: over 1 MiB, the most that it may have (TOO_LARGE)", Code.REFUSED)
    return payload


def print_json(message: Message) -> None:
    """The message as protobuf JSON on one line."""
    print(MessageToJson(message, indent=None), flush=True)
