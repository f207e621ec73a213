"""The pure parts of pulling: names, progress, and what an engine's words mean."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.image import parse
from runner.executors.container import image_names as names
from runner.executors.container.image_record import ImageRecord
from runner.executors.container.logins import Login
from runner.executors.container.pull import Layers
from runner.executors.container.pull_failures import judged

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
PAGE = "<html> <head><title>%s, timeout</title></head> ..."


def test_names_are_given_to_engines_in_full() -> None:
    image = parse("busybox")
    assert image is not None
    assert names.by_tag(image) == "docker.io/library/busybox:latest"
    assert names.by_digest(image, DIGEST) == f"docker.io/library/busybox@{DIGEST}"


def test_what_looks_like_an_id_is_still_a_name() -> None:
    image = parse("abcdef123456")
    assert image is not None
    assert names.by_tag(image) == "docker.io/library/abcdef123456:latest"


def test_only_the_very_tag_and_the_very_repository_count() -> None:
    image = parse("r.example/team/a:1")
    assert image is not None
    found = {
        "RepoTags": ["r.example/team/b:1", "r.example/team/a:2", "<none>:<none>"],
        "RepoDigests": [f"r.example/team/b@{OTHER}", f"r.example/team/a@{DIGEST}"],
    }
    assert not names.has_tag(found, image)
    assert names.has_tag({"RepoTags": ["r.example/team/a:1"]}, image)
    assert names.digests(found, image) == [DIGEST]
    assert names.all_names(found) == {"r.example/team/a", "r.example/team/b"}
    assert names.digests({"RepoDigests": None}, image) == []


@pytest.mark.parametrize(
    ("said", "permanent"),
    [
        ('Head "http://r/v2/x/manifests/1": no basic auth credentials', True),
        ("unauthorized: authentication required", True),
        ("pull access denied for x, repository does not exist", True),
        ("error parsing HTTP 403 response body: invalid character", True),
        ("Error fetching blob: invalid status code from registry 403 (Forbidden)", True),
        ("manifest for r.example/a:1 not found: manifest unknown: manifest unknown", True),
        ("reading manifest 1 in r.example/a: name unknown: repository not known", True),
        ("no matching manifest for linux/amd64 in the manifest list entries", True),
        ("received unexpected HTTP status: 503 Service Unavailable", False),
        ("toomanyrequests: too many requests, unauthorized users have 100", False),
        ("dial tcp: lookup r.example: no such host", False),
        ("dial tcp 10.0.0.1:403: connect: connection refused", False),
        ("write /data/x: no space left on device", False),
        ("unexpected EOF", False),
        ("dial tcp 10.0.0.1:443: connect: permission denied", False),
        (
            'Get "https://r.example/v2/denied/manifests/forbidden": net/http: request canceled',
            False,
        ),
        (f"reading manifest 1 in r.example/a: StatusCode: 404, {PAGE % '404 Not Found'}", True),
        (f"reading manifest 1 in r.example/a: StatusCode: 403, {PAGE % '403 Forbidden'}", True),
        (f"reading manifest 1 in r.example/a: StatusCode: 418, {PAGE % '404 Not Found'}", False),
        ("reading manifest 1 in r.example/a: StatusCode: 404, ", True),
        ("reading manifest 1 in r.example/a: StatusCode: 403, ", True),
        ("reading manifest 1 in r.example/a: StatusCode: 429, unauthorized, status: 403", False),
        ('error parsing HTTP 404 response body: invalid character: "429"', True),
    ],
)
def test_what_another_try_cannot_mend_is_told_by_an_engines_words(
    said: str, *, permanent: bool
) -> None:
    assert judged("r.example/a:1", said).permanent is permanent


# how an engine begins, before it gives the registry's own words, and whether that is for good
BEGINNINGS = {
    "error parsing HTTP 403 response body: invalid character: ": True,
    "error parsing HTTP 404 response body: invalid character: ": True,
    "error parsing HTTP 429 response body: invalid character: ": False,
    "error parsing HTTP 400 response body: invalid character: ": False,
    "received unexpected HTTP status: 503 Service Unavailable: ": False,
    "reading manifest 1 in r.example/a: StatusCode: 403, ": True,
    "reading manifest 1 in r.example/a: StatusCode: 404, ": True,
    "reading manifest 1 in r.example/a: StatusCode: 429, ": False,
    "reading manifest 1 in r.example/a: denied: ": True,
    "reading manifest 1 in r.example/a: name unknown: ": True,
    "reading manifest 1 in r.example/a: unknown: ": False,
    "manifest for r.example/a:1 not found: manifest unknown: ": True,
    "pull access denied for r.example/a, repository does not exist: denied: ": True,
    "unauthorized: ": True,
    "toomanyrequests: ": False,
}
WORDS = ("timeout", "429", "no such host", "denied", "status: 404", "HTTP 403", "manifest unknown")


@given(st.sampled_from(sorted(BEGINNINGS)), st.lists(st.sampled_from(WORDS) | st.text(max_size=9)))
def test_the_registrys_own_words_decide_nothing(said: str, words: list[str]) -> None:
    assert judged("r.example/a:1", said + " ".join(words)).permanent is BEGINNINGS[said]


def test_the_name_of_an_image_is_no_word_of_the_engines() -> None:
    said = "received unexpected HTTP status: 500 on r.example/denied/unauthorized"
    assert not judged("r.example/denied/unauthorized:forbidden", said).permanent


@given(st.text(max_size=2000))
def test_a_message_is_bounded_whatever_is_said(said: str) -> None:
    assert len(judged("r.example/a:1", said).message) < 400


lines = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["a", "b", "c", ""]),
        "status": st.sampled_from(
            ["Pulling fs layer", "Downloading", "Retrying in 5 seconds", "Download complete", "?"]
        ),
        "progressDetail": st.none()
        | st.fixed_dictionaries(
            {}, optional={"current": st.integers(0, 99), "total": st.integers(0, 99) | st.none()}
        ),
    },
)


@given(st.lists(lines, max_size=30))
def test_progress_never_goes_back_and_is_a_fraction(told: list[dict[str, object]]) -> None:
    layers = Layers()
    last = 0.0
    for line in told:
        layers.take(line)
        now = layers.fraction()
        assert last <= now <= 1.0
        last = now


def test_a_countdown_and_the_same_again_are_no_progress() -> None:
    layers = Layers()
    line = {"id": "a", "status": "Downloading", "progressDetail": {"current": 5, "total": 10}}
    assert layers.take(line)
    assert not layers.take(line)
    assert not layers.take({"id": "a", "status": "Retrying in 4 seconds"})
    assert not layers.take({**line, "progressDetail": {"current": 3, "total": 10}})
    assert layers.take({**line, "progressDetail": {"current": 6, "total": 10}})


def test_credentials_are_shown_to_nobody() -> None:
    assert "hunter" not in repr(Login("u", "hunter"))


def test_what_was_remembered_is_there_in_the_next_life(nothing_is_left: Path) -> None:
    path = nothing_is_left / "images.json"
    record = ImageRecord(path)
    record.mark_private("r.example/a")
    record.add("sha256:1", "r.example/a", 5)
    again = ImageRecord(path)
    assert again.private("r.example/a")
    assert again.pulled["sha256:1"].names == ["r.example/a"]
    again.mark_open("r.example/a", "sha256:1")
    again.drop("sha256:1")
    third = ImageRecord(path)
    assert not third.private("r.example/a")
    assert third.pulled == {}
    assert third.opened("r.example/a", "sha256:1")
    assert not third.opened("r.example/a", "sha256:2")
    assert not third.opened("r.example/b", "sha256:1")
    path.unlink()


def test_what_is_remembered_as_open_of_a_repository_has_a_bound() -> None:
    record = ImageRecord()
    for number in range(100):
        record.mark_open("r.example/a", f"sha256:{number}")
    assert record.opened("r.example/a", "sha256:99")
    assert not record.opened("r.example/a", "sha256:0")


def test_a_record_that_cannot_be_read_is_an_empty_one(nothing_is_left: Path) -> None:
    path = nothing_is_left / "images.json"
    path.write_text('{"pulled": 3}')
    assert ImageRecord(path).pulled == {}
    path.unlink()


def test_what_many_threads_note_at_once_is_all_on_disk(nothing_is_left: Path) -> None:
    """Pulls that many tasks waited for end at one moment."""
    path = nothing_is_left / "images.json"
    record, together = ImageRecord(path), Barrier(8)

    def note(number: int) -> None:
        together.wait()
        for each in range(5):
            record.add("sha256:1", f"r.example/{number}/{each}", 5)
            record.mark_private("r.example/private")
            assert ImageRecord(path).private("r.example/private")

    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(note, number) for number in range(8)]:
            done.result()
    again = ImageRecord(path)
    assert len(again.pulled["sha256:1"].names) == 40
    again.mark_open("r.example/private", "sha256:1")
    assert not again.private("r.example/private")
    assert [each.name for each in nothing_is_left.iterdir()] == [path.name]
    path.unlink()


def test_what_could_not_be_written_is_written_by_the_next_who_notes_it(
    nothing_is_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody may take it for private on disk because it is in memory."""
    path = nothing_is_left / "images.json"
    record = ImageRecord(path)

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("runner.executors.container.image_record.os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            record.mark_private("r.example/a")
    record.mark_private("r.example/a")
    assert ImageRecord(path).private("r.example/a")
    path.unlink()
