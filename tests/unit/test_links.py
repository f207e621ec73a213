"""Where paths of this host lead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from runner.links import linked, on_this_host
from runner.planning.policy import OwnPlaces
from tests.support.payloads import some_rules


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("plain", False),
        ("plain/file", False),
        ("plain/./file/", False),
        ("absent", False),
        ("plain/absent/deep", False),
        ("link", True),
        ("link/etc", True),
        ("link/absent", True),
        ("within", True),
        ("dangling", True),
        ("loop", True),
    ],
)
def test_a_link_is_found_wherever_it_is_on_the_way(
    path: str, *, found: bool, tmp_path: Path
) -> None:
    home = tmp_path.resolve()
    (home / "plain").mkdir()
    (home / "plain/file").touch()
    (home / "link").symlink_to("/")
    (home / "within").symlink_to("plain")
    (home / "dangling").symlink_to("nowhere")
    (home / "loop").symlink_to("loop")
    assert linked(f"{home}/{path}") is found


def test_a_magic_link_of_proc_is_one() -> None:
    assert linked("/proc/self/root/etc")
    assert linked("/proc/self/cwd")


def test_what_is_behind_a_link_to_the_runners_own_is_its_own_too(tmp_path: Path) -> None:
    home = tmp_path.resolve()
    (home / "disk").mkdir()
    (home / "state").symlink_to("disk")
    rules = some_rules()
    assert not rules.linked(f"{home}/state")
    own = OwnPlaces((f"{home}/state", f"{home}/state/s.sock"), (f"{home}/state",))
    here = on_this_host(replace(rules, own=own))
    assert here.linked(f"{home}/state")
    assert set(here.own.places) == {*own.places, f"{home}/disk", f"{home}/disk/s.sock"}
    assert set(here.own.directories) == {f"{home}/state", f"{home}/disk"}
