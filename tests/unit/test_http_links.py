"""Signed links: what opens, and what does not."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from runner.domain.task import State
from runner.edges.http.links import Links, signing_key
from runner.storage.memory import MemoryJournal
from tests.support.tasks import RUNNING, a_task

SECOND = 1_000_000_000
ENDED = a_task("train-7", state=State.COMPLETED, end_time=1000 * SECOND)


def links(now: float = 1000.0, key: bytes = b"k") -> Links:
    return Links(key, "https://worker-7.example/", 60.0, lambda: now)


def parts(link: str) -> tuple[str, list[str], list[str]]:
    url = urlsplit(link)
    query = parse_qs(url.query)
    return url.path.split("/")[2], query["expires"], query["signature"]


def test_a_link_opens_its_task_until_its_time_is_over() -> None:
    link = links().of(ENDED)
    assert link.startswith("https://worker-7.example/tasks/train-7/logs?")
    assert links(1000).problem(*parts(link)) == ""
    assert links(1059).problem(*parts(link)) == ""
    assert "expired" in links(1060).problem(*parts(link))


def test_a_task_has_one_link_however_often_it_is_told_and_none_before_it_ended() -> None:
    assert links(1000).of(ENDED) == links(5000).of(ENDED)
    assert links().of(RUNNING) == ""


@pytest.mark.parametrize("faulty", ["task", "later", "other", "none", "twice", "odd", "long"])
def test_nothing_else_opens_anything(faulty: str) -> None:
    task_id, expires, signature = parts(links().of(ENDED))
    changed = {
        "task": ("train-8", expires, signature),
        "later": (task_id, ["1061"], signature),
        "other": (task_id, expires, parts(links(key=b"other").of(ENDED))[2]),
        "none": (task_id, [], []),
        "twice": (task_id, expires, signature * 2),
        "odd": (task_id, ["\udcff\u0661"], ["\udcff"]),
        "long": (task_id, ["9" * 5000], signature),
    }[faulty]
    assert links().problem(*changed)


async def test_the_key_is_drawn_once_and_kept_in_the_journal() -> None:
    journal = MemoryJournal()
    key = await signing_key(journal)
    assert len(key) == 32
    assert await signing_key(journal) == key
    assert await signing_key(MemoryJournal()) != key
