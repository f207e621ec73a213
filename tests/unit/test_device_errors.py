"""Errors that an earlier daemon heard: held against devices until those were reset, and stored so
that daemons of before and after can read it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner import gpus
from runner.domain.gpu import Gpu
from runner.engine import device_record
from runner.engine.device_record import Known
from runner.planning.device_errors import Errors, Thrown

A, B = Gpu("GPU-a"), Gpu("GPU-b", 1)
XID = Gpu("GPU-a", problem="Xid 48: an error", thrown=True)
AWAY = Gpu("GPU-a", -1, problem="the driver calls it lost", away=True)
MUTE = Gpu("GPU-a", -1, problem="a call failed", doubtful=True)
REPLACED = Gpu("GPU-a", problem="it cannot remap faulty memory")

LOOKS = st.sampled_from([[A, B], [XID, B], [AWAY, B], [REPLACED, B], [MUTE, B], [B]])


def never(_uuid: str) -> float:
    return 0.0


@given(lives=st.lists(st.lists(LOOKS, max_size=5), min_size=1, max_size=4))
def test_from_life_to_life_an_error_stands_from_when_it_was_heard_until_the_device_was_lost(
    lives: list[list[list[Gpu]]],
) -> None:
    stored: dict[str, Thrown] = {}
    stands = False
    for looks in lives:
        errors = Errors()
        for uuid, thrown in stored.items():
            errors.recall(uuid, thrown)
        heard = False  # in this life: whoever hears it remembers it until it was lost
        for look in looks:
            seen = [XID if gpu in (A, MUTE) and heard else gpu for gpu in look]
            gone = AWAY in seen
            heard = (heard or XID in seen) and not gone
            stands = (stands or heard) and not gone
            found, _ = errors.see(seen, 100.0, "7", never)
            problems = {gpu.uuid: gpu.problem for gpu in found}
            assert not problems["GPU-b"]
            if stands and len(seen) > 1:
                assert problems["GPU-a"]
                assert not any(gpu.doubtful for gpu in found)
            elif A in seen:
                assert not problems["GPU-a"]
            assert ("GPU-a" in errors.standing) is stands
        stored = errors.standing


def test_one_that_is_heard_again_is_a_new_one_which_no_earlier_reset_excuses() -> None:
    errors = Errors()
    errors.recall("GPU-a", Thrown("Xid 48: an error", 50.0, "7"))
    found, excused = errors.see([XID], 100.0, "7", lambda _uuid: 70.0)
    assert (found, excused) == ([XID], [])
    assert errors.standing == {"GPU-a": Thrown("Xid 48: an error", 100.0, "7")}
    errors.see([XID], 200.0, "7", never)
    assert errors.standing["GPU-a"].time == 100.0


@pytest.mark.parametrize("second", ["Xid 48: an error", "Xid 95: an error"])
def test_a_later_error_is_not_excused_by_a_reset_that_was_said_before_it(second: str) -> None:
    errors = Errors()
    errors.hear(XID, 50.0, "7")
    errors.see([XID], 60.0, "7", never)
    errors.begin()
    errors.hear(replace(XID, problem=second), 90.0, "7")
    errors.see([replace(XID, problem=second)], 100.0, "7", never)
    assert errors.standing == {"GPU-a": Thrown(second, 90.0, "7")}
    again = Errors()
    again.recall("GPU-a", errors.standing["GPU-a"])
    assert again.see([A], 110.0, "7", lambda _uuid: 70.0)[1] == []


@given(look=LOOKS, more=LOOKS)
def test_an_error_heard_since_a_look_was_begun_is_held_against_the_device_whatever_that_says(
    look: list[Gpu], more: list[Gpu]
) -> None:
    errors = Errors()
    errors.begin()
    errors.hear(XID, 50.0, "7")
    found, _ = errors.see(look, 60.0, "7", never)
    assert errors.standing["GPU-a"].problem == XID.problem
    for gpu in found:
        assert bool(gpu.problem) is (gpu.uuid == "GPU-a")
        assert not gpu.doubtful
    errors.begin()  # and the next one knows of it
    errors.see(more, 70.0, "7", never)
    assert ("GPU-a" in errors.standing) is (more[0] not in (A, AWAY))


def test_a_reset_that_is_said_to_be_in_the_future_excuses_nothing() -> None:
    errors = Errors()
    errors.recall("GPU-a", Thrown("Xid 48: an error", 50.0, "7"))
    found, excused = errors.see([A], 100.0, "7", lambda _uuid: 101.0)
    assert found[0].problem
    assert excused == []
    assert errors.see([A], 102.0, "7", lambda _uuid: 101.0)[1] != []


def test_what_else_ails_a_device_is_told_rather_than_the_old_error() -> None:
    errors = Errors()
    errors.recall("GPU-a", Thrown("Xid 48: an error", 50.0, "7"))
    assert errors.see([REPLACED], 100.0, "7", never)[0] == [REPLACED]
    assert "Xid 48" in errors.see([A], 100.0, "7", never)[0][0].problem


def test_what_is_stored_is_read_again_and_of_another_boot_nothing() -> None:
    thrown = Thrown("Xid 48: an error", 50.0, "7")
    text = device_record.write("boot-1", [Known(B), Known(A, "a process is on it", thrown)])
    first, second = device_record.read(text, "boot-1")
    assert (first.gpu.uuid, first.error, bool(first.quarantined)) == ("GPU-a", thrown, True)
    assert (second.gpu.uuid, second.error, second.quarantined) == ("GPU-b", None, "")
    assert device_record.read(text, "boot-2") == []
    assert device_record.read("", "boot-1") == []


BEFORE = {
    "version": 1,
    "boot_id": "boot-1",
    "devices": [
        {
            "uuid": "GPU-a",
            "index": 0,
            "name": "H100",
            "memory": 7,
            "mig": False,
            "quarantined": True,
        }
    ],
}
"""As a version wrote it that knew of no errors."""


def test_what_an_earlier_version_stored_is_read_and_it_reads_what_is_stored_now() -> None:
    (known,) = device_record.read(json.dumps(BEFORE), "boot-1")
    assert (known.gpu.name, known.error) == ("H100", None)
    assert known.quarantined
    error = Thrown("Xid 48: an error", 50.0)
    now = json.loads(device_record.write("boot-1", [Known(known.gpu, "why", error)]))
    (device,) = now["devices"]
    assert device.pop("error")
    assert now == BEFORE


def test_a_driver_that_was_loaded_anew_is_another_load(tmp_path: Path) -> None:
    module = tmp_path / "nvidia"
    assert gpus.driver_load(module) == ""
    module.mkdir()
    first = gpus.driver_load(module)
    assert first == gpus.driver_load(module) != ""
    module.rename(tmp_path / "before")
    module.mkdir()
    assert gpus.driver_load(module) not in ("", first)
