"""What is no message is refused with a type, and the keeper goes on."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.keeper_client import (
    LAUNCH,
    NO_LIMITS,
    Client,
    Hung,
    Keeper,
    Refusal,
    eventually,
    sealed,
)


def repeat(call: Callable[[], object]) -> NoReturn:
    while True:
        call()


def descriptors(keeper: Keeper) -> int:
    return len(list(Path(f"/proc/{keeper.pid}/fd").iterdir()))


def answer(client: Client, body: bytes) -> str:
    client.raw(body)
    reply = client.receive()
    assert reply["type"] == "error"
    assert len(reply["message"]) < 400
    return str(reply["code"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "NOT_JSON"),
        (b"\xff\xfe", "NOT_JSON"),
        (b"[]", "NOT_JSON"),
        (b"[" * 100_000, "NOT_JSON"),
        (b'{"type":"list","id":NaN}', "NOT_JSON"),
        (b'{"type":"list","id":' + b"9" * 10_000 + b"}", "NOT_JSON"),
        (b'{"type":"list"}', "BAD_VALUE"),
        (b'{"type":"list","id":true}', "BAD_VALUE"),
        (b'{"type":"list","id":-1}', "BAD_VALUE"),
        (b'{"type":"nonsense","id":1}', "UNKNOWN_TYPE"),
        (b'{"type":["list"],"id":1}', "UNKNOWN_TYPE"),
        (b'{"type":"__init__","id":1}', "UNKNOWN_TYPE"),
        (b'{"type":"list","id":1,"more":1}', "UNKNOWN_KEY"),
        (b'{"type":"query","id":1}', "BAD_VALUE"),
        (b'{"type":"hello","id":1,"protocol":1,"epoch":1,"journal":"j"}', "BAD_ORDER"),
    ],
)
def test_what_is_no_request_is_refused(plain: Keeper, body: bytes, code: str) -> None:
    client = plain.client()
    assert answer(client, body) == code
    assert client.ask("list")["running"] == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../a"),
        ("name", "a/b"),
        ("name", "a\n"),
        ("name", ""),
        ("name", "cgroup.procs"),
        ("name", "a" * 101),
        ("name", 1),
        ("argv", []),
        ("argv", [""]),
        ("argv", "true"),
        ("argv", ["a\0b"]),
        ("argv", ["\ud800"]),
        ("env", {"A=B": "x"}),
        ("env", {"": "x"}),
        ("env", {"A": 1}),
        ("cwd", "/etc"),
        ("cwd", None),
        ("user", [0]),
        ("user", [0, 2**32 - 1]),
        ("user", ["0", "0"]),
        ("user", [-1, 0]),
        ("wall", -1),
        ("wall", 1e300),
        ("wall", "1"),
        ("grace", None),
        ("grace", True),
        ("output", -1),
        ("output", 1.5),
        ("stdin", 1),
        ("level", "lax"),
        ("level", ["strict"]),
        ("network", "bridge"),
        ("network", {}),
        ("limits", {}),
        ("limits", {**NO_LIMITS, "more": 1}),
        ("limits", {**NO_LIMITS, "memory": 0}),
        ("limits", {**NO_LIMITS, "memory": 1.5}),
        ("limits", {**NO_LIMITS, "cpu": -1}),
        ("limits", {**NO_LIMITS, "processes": True}),
        ("limits", {**NO_LIMITS, "disk": 2**63}),
        ("mounts", {}),
        ("mounts", [{}]),
        ("mounts", [{"source": "a", "target": "/b", "read_only": True}]),
        ("mounts", [{"source": "/a", "target": "b", "read_only": True}]),
        ("mounts", [{"source": "/a", "target": "/b", "read_only": 1}]),
        ("mounts", [{"source": "/a\0", "target": "/b", "read_only": True}]),
        ("mounts", [{"source": "/a", "target": "/b", "read_only": True}] * 1001),
        ("keep", ["/etc/*"]),
        ("keep", "a"),
        ("keep", ["a"] * 2001),
    ],
)
def test_a_launch_with_a_bad_value_is_refused_and_starts_nothing(
    plain: Keeper, key: str, value: object
) -> None:
    client = plain.client()
    body = json.dumps({**LAUNCH, key: value}).encode()
    assert answer(client, body) == "BAD_VALUE"
    assert client.ask("list")["names"] == []


def test_a_working_directory_that_leads_out_starts_nothing(plain: Keeper) -> None:
    client = plain.client()
    reply = client.launch("a", "true", cwd="x/../../..")
    assert (reply["state"], reply["stage"]) == ("failed", "working_dir")
    assert client.launch("b", "pwd", cwd="x//./y")["state"] == "running"
    assert client.end("b")["code"] == 0
    assert plain.stdout("b").endswith(b"/b/disk/workspace/x/y\n")


def test_a_frame_that_is_too_long_ends_the_connection(plain: Keeper) -> None:
    client = plain.client()
    client.socket.sendall(struct.pack("<I", 1 << 30))
    assert client.receive()["code"] == "TOO_LARGE"
    with pytest.raises((Hung, ConnectionResetError)):
        client.receive()
    assert plain.client(2).ask("list")["running"] == []


def test_nothing_is_done_before_hello(plain: Keeper) -> None:
    client = plain.client(hello=False)
    with pytest.raises(Refusal, match="BAD_ORDER"):
        client.ask("list")


def test_many_who_never_say_hello_keep_nobody_out(plain: Keeper) -> None:
    daemon = plain.client()
    for _ in range(60):
        plain.client(hello=False)
    assert daemon.ask("list")["running"] == []
    assert plain.client(2).ask("list")["running"] == []


def test_only_sealed_descriptors_are_taken_and_just_as_many_as_named(plain: Keeper) -> None:
    client = plain.client()
    unsealed = os.memfd_create("unsealed", os.MFD_CLOEXEC)
    pipe = os.pipe()
    good = sealed(b"words")
    for files, words in (
        ([unsealed], {"stdin": True}),
        ([pipe[0]], {"stdin": True}),
        ([], {"stdin": True}),
        ([good], {"stdin": True, "context": True}),
    ):
        with pytest.raises(Refusal, match="BAD_FILES"):
            client.launch("a", "cat", files=files, **words)
    client.launch(
        "a",
        "sh",
        "-c",
        'cat; cat "$ENV_RUNNER_CONTEXT"',
        files=[good, good],
        stdin=True,
        context=True,
    )
    assert client.end("a")["code"] == 0
    assert plain.stdout("a") == b"wordswords"
    client.ask("list", [good])  # answered; and then told what was wrong with it
    assert client.receive()["code"] == "BAD_FILES"
    for file in (unsealed, *pipe, good):
        os.close(file)


def test_descriptors_that_nobody_asked_for_are_not_held(plain: Keeper) -> None:
    """One byte and two of them at a time, of a frame that never gets whole."""
    held = descriptors(plain)
    for hello in (False, True):
        client = plain.client(hello=hello)
        client.socket.sendall(struct.pack("<I", 1_000_000))
        file = sealed(b"x")
        try:
            with pytest.raises(OSError, match=r"Broken pipe|reset"):
                repeat(lambda: socket.send_fds(client.socket, [b"x"], [file, file]))  # noqa: B023 - called here alone
        finally:
            os.close(file)
        eventually(lambda: descriptors(plain) <= held, "none is held")
    assert plain.client(2).launch("a", "true")["state"] == "running"


def test_what_is_given_is_no_larger_than_a_payload(plain: Keeper) -> None:
    client = plain.client()
    for words in ({"stdin": True}, {"context": True}):
        file = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        try:
            os.ftruncate(file, 1 << 40)
            seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, seals)
            with pytest.raises(Refusal, match="BAD_FILES"):
                client.launch("a", "true", files=[file], **words)
        finally:
            os.close(file)


def test_a_daemon_that_asks_and_never_reads_is_dropped(plain: Keeper) -> None:
    client = plain.client()
    for number in range(300):
        client.launch(f"attempt-with-a-long-name-{number:04}-{'x' * 60}", "true")
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        repeat(lambda: client.send("list"))
    assert plain.client(2).ask("list")["running"] == []
