"""What a keeper that is there lacks of the mounts that are configured by now."""

from __future__ import annotations

from typing import Any

import pytest

from runner.executors.local.mounts import lacking

OPTIONS = ("--allow-none", "--mounts", "/srv/a,/srv/b:rw,/srv/c/d")


@pytest.mark.parametrize(
    ("mounts", "missing"),
    [
        ({"/srv/a": False, "/srv/b": True, "/srv/c": False}, []),
        ({"/": True}, []),
        ({"/srv/a": True, "/srv/b": False, "/srv/c/d": False}, ["/srv/b:rw"]),
        ({"/srv/ab": False, "/srv/b": True, "/srv/c/d/e": False}, ["/srv/a", "/srv/c/d"]),
        ({}, ["/srv/a", "/srv/b:rw", "/srv/c/d"]),
    ],
)
def test_what_lies_nowhere_below_what_it_may_mount_is_lacking(
    mounts: dict[str, bool], missing: list[str]
) -> None:
    assert lacking(OPTIONS, {"uid": 0, "mounts": mounts}) == missing


@pytest.mark.parametrize("welcome", [{"uid": 0}, {"uid": 1000, "mounts": {}}])
def test_one_that_says_nothing_or_asks_nobody_lacks_nothing(welcome: dict[str, Any]) -> None:
    assert lacking(OPTIONS, welcome) == []
    assert lacking((), {"uid": 0, "mounts": {}}) == []
