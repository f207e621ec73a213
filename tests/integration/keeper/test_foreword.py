"""What is told in an attempt's stderr before its start, or instead of one."""

from __future__ import annotations

import os

import pytest

from runner.keeper.index import RECORD
from tests.support.keeper_client import Client, Keeper, Refusal, sealed

TEXT = b"building\nready\n"


@pytest.fixture
def client(plain: Keeper) -> Client:
    return plain.client()


def tell(client: Client, name: str, text: bytes = TEXT) -> None:
    file = sealed(text)
    try:
        client.ask("foreword", [file], name=name)
    finally:
        os.close(file)


def stderr(keeper: Keeper, name: str) -> bytes:
    return (keeper.root / name / "output/stderr").read_bytes()


def test_it_stands_before_what_the_task_writes_and_counts(plain: Keeper, client: Client) -> None:
    tell(client, "a")
    assert stderr(plain, "a") == TEXT
    client.launch("a", "sh", "-c", "echo out; echo err >&2", output=1000)
    record = client.end("a")
    assert stderr(plain, "a") == TEXT + b"err\n"
    assert record["written"] == record["kept"] == [4, len(TEXT) + 4]
    index = (plain.root / "a/output/index").read_bytes()
    times, offsets, _, streams = zip(*RECORD.iter_unpack(index), strict=True)
    assert list(times) == sorted(times)
    assert [at for at, stream in zip(offsets, streams, strict=True) if stream == 2] == [
        0,
        len(TEXT),
    ]


def test_it_takes_from_the_room_for_output(plain: Keeper, client: Client) -> None:
    tell(client, "a", b"x" * 100)
    client.launch("a", "sh", "-c", "echo 1234567890", output=105)
    record = client.end("a")
    assert (record["kept"], record["cause"]) == ([5, 100], "output limit")
    tell(client, "b", b"x" * 100)
    client.launch("b", "sh", "-c", "echo 1234567890", output=50)
    assert client.end("b")["kept"] == [0, 100]


def test_it_stays_where_nothing_is_started(plain: Keeper, client: Client) -> None:
    tell(client, "a")
    assert client.ask("query", name="a")["state"] == "absent"
    tell(client, "a", b"another")
    assert stderr(plain, "a") == TEXT
    client.ask("remove", name="a")
    assert not (plain.root / "a").exists()


def test_a_launch_that_failed_keeps_it_once(plain: Keeper, client: Client) -> None:
    tell(client, "a")
    assert client.launch("a", "/nowhere")["state"] == "failed"
    assert client.launch("a", "true", output=1000)["state"] == "running"
    client.end("a")
    assert stderr(plain, "a") == TEXT


def test_what_was_started_gets_none(plain: Keeper, client: Client) -> None:
    client.launch("a", "true")
    client.end("a")
    with pytest.raises(Refusal, match="RUNNING"):
        tell(client, "a")


def test_one_without_its_text_or_with_one_that_can_change_is_refused(client: Client) -> None:
    with pytest.raises(Refusal, match="BAD_FILES"):
        client.ask("foreword", name="a")
    file = os.memfd_create("open")
    with pytest.raises(Refusal, match="BAD_FILES"):
        client.ask("foreword", [file], name="a")
    os.close(file)
    assert client.ask("query", name="a")["state"] == "absent"
