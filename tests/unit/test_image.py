"""Image references, and the patterns that grant them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.domain.image import Image, host_fault, matches, parse, pattern_fault

DIGEST = "sha256:" + "0" * 64
OTHER = "sha256:" + "1" * 64


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("alpine", Image("docker.io", ("library", "alpine"), "latest", "")),
        ("alpine:3.20", Image("docker.io", ("library", "alpine"), "3.20", "")),
        ("me/app", Image("docker.io", ("me", "app"), "latest", "")),
        ("localhost/app", Image("localhost", ("app",), "latest", "")),
        ("host:5000/a/b:1", Image("host:5000", ("a", "b"), "1", "")),
        ("r.example/a@" + DIGEST, Image("r.example", ("a",), "", DIGEST)),
        ("r.example/a:1@" + DIGEST, Image("r.example", ("a",), "1", DIGEST)),
        ("R.Example/a", Image("r.example", ("a",), "latest", "")),
        ("LOCALHOST/app", Image("localhost", ("app",), "latest", "")),
        ("Docker.IO/alpine", Image("docker.io", ("library", "alpine"), "latest", "")),
        ("index.docker.io/alpine", Image("docker.io", ("library", "alpine"), "latest", "")),
        ("[::1]:5000/a", Image("[::1]:5000", ("a",), "latest", "")),
    ],
)
def test_a_reference_is_read_as_an_engine_reads_it(reference: str, image: Image) -> None:
    assert parse(reference) == image


@pytest.mark.parametrize(
    "reference",
    [
        *("", " ", "a b", "a\n", "-a", "a/", "/a", "a//b", "a:", "a:1:2", "a@", "a@sha256:0"),
        *(
            "../a",
            "a/../b",
            "host/UPPER",
            "HOST/a",
            "r.example/",
            "r.example/a:" + "t" * 129,
            "a:-x",
        ),
        *("a@" + DIGEST + "0", "a@" + DIGEST + "@" + DIGEST, "é/a", "a" * 600, "https://r/a"),
    ],
)
def test_what_is_no_reference_is_none(reference: str) -> None:
    assert parse(reference) is None


@pytest.mark.parametrize(
    ("pattern", "reference", "granted"),
    [
        ("registry.example/team/*", "registry.example/team/app:1", True),
        ("registry.example/team/*", "registry.example/team/app", True),
        ("registry.example/team/*", "registry.example/team/a/b", False),
        ("registry.example/team/*", "registry.example/team", False),
        ("registry.example/team/*", "registry.example/teams/app", False),
        ("registry.example/team/*", "evil.example/registry.example/team/app", False),
        ("registry.example/team/*", "registry.example.evil/team/app", False),
        ("registry.example/team/*", "registry.example:5000/team/app", False),
        ("registry.example/team/*", "REGISTRY.example/team/app", True),
        ("registry.example/app:1.*", "registry.example/app:1.4", True),
        ("registry.example/app:1.*", "registry.example/app:2.4", False),
        ("registry.example/app:1.*", "registry.example/app", False),
        ("registry.example/app:1.*", "registry.example/app@" + DIGEST, False),
        ("registry.example/app:latest", "registry.example/app", True),
        ("registry.example/app", "registry.example/app@" + DIGEST, True),
        ("registry.example/app@" + DIGEST, "registry.example/app@" + DIGEST, True),
        ("registry.example/app@" + DIGEST, "registry.example/app:1", False),
        ("registry.example/app@" + DIGEST, "registry.example/app:2@" + DIGEST, True),
        ("registry.example/app@" + DIGEST, "registry.example/app@" + OTHER, False),
        ("registry.example/app:1@" + DIGEST, "registry.example/app:1@" + OTHER, False),
        ("registry.example/app:1@" + DIGEST, "registry.example/app:1@" + DIGEST, True),
        ("registry.example/app:1", "registry.example/app:1@" + DIGEST, False),
        ("registry.example/app:1.*", "registry.example/app:1.4@" + DIGEST, False),
        ("registry.example/app:?", "registry.example/app:1@" + DIGEST, False),
        ("registry.example/app:latest", "registry.example/app@" + DIGEST, False),
        ("registry.example/app", "registry.example/app:1@" + DIGEST, True),
        ("registry.example/app:*", "registry.example/app:1@" + DIGEST, True),
        ("registry.example/app:*", "registry.example/app@" + DIGEST, True),
        ("alpine", "docker.io/library/alpine:3", True),
        ("docker.io/library/*", "alpine", True),
        ("index.docker.io/me/*", "me/app", True),
        ("*", "alpine", True),
        ("*", "registry.example/alpine", False),
        ("*.example/*", "registry.example/alpine", True),
        ("", "alpine", False),
    ],
)
def test_a_star_stays_within_its_segment(*, pattern: str, reference: str, granted: bool) -> None:
    image = parse(reference)
    assert image is not None
    assert matches(pattern, image) is granted


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "registry.example//app", "registry.example/team/", "registry.example/Team/*"),
        *("https://registry.example/app", "registry.example/app ", "/app", "registry.example/a b"),
        *("registry.example/app:v 1", "registry.example/app@sha256:abc", "registry.example/app@"),
        *("registry.example/te+am/*", "-registry.example/app", "registry.example:port/app"),
    ],
)
def test_a_pattern_that_no_image_can_match_is_a_fault(pattern: str) -> None:
    fault = pattern_fault(pattern)
    assert fault is not None
    assert "no image can match it" in fault[1]


@pytest.mark.parametrize(
    ("host", "fine"),
    [
        *((host, True) for host in ("docker.io", "R.Example:5000", "localhost", "[::1]:5", "a:1")),
        *((host, False) for host in ("index.docker.io", "registry", "-r.example", "r:x", "[::1")),
    ],
)
def test_a_host_that_no_reference_has_is_a_fault(host: str, *, fine: bool) -> None:
    assert (host_fault(host) is None) is fine


REFERENCES = st.from_regex(
    r"(?:(?:r\.e|R:5|\[::1\]:5)/)?[a0](?:[/._-][a0]){0,2}(?::[aA_0.]{1,2})?", fullmatch=True
)


@given(st.text("a0*?[]!:/@.-_AR", max_size=12) | REFERENCES, REFERENCES)
def test_no_pattern_that_grants_something_is_a_fault(pattern: str, reference: str) -> None:
    image = parse(reference)
    if image is not None:
        assert matches(reference, image)
        assert pattern_fault(reference) is None
        if matches(pattern, image):
            assert pattern_fault(pattern) is None


@given(st.text("ab:/@.-_A0", max_size=30) | st.text(max_size=30))
def test_any_text_is_a_reference_or_not(text: str) -> None:
    image = parse(text)
    if image is not None:
        assert all(image.path)
        assert image.tag or image.digest
