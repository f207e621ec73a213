"""The frames between daemon and keeper: what goes in comes out, and nothing else gets through."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.keeper.messages import FRAME_LIMIT, REQUESTS, Frames, Malformed, check, decode, encode

words = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
messages = st.dictionaries(words, values, max_size=5)

GOOD: dict[str, Any] = {
    "protocol": 1,
    "epoch": 1,
    "journal": "j",
    "name": "er-1",
    "task_id": "t",
    "argv": ["true"],
    "env": {"A": ""},
    "cwd": "",
    "user": [1, 1],
    "wall": 1.5,
    "idle": None,
    "grace": 0,
    "output": 0,
    "stdin": False,
    "context": True,
    "place": "task",
    "container": "0123456789abcdef" * 4,
    "pid": 4711,
    "devices": ["/dev/nvidia0"],
    "path": "a/b",
    "pattern": "*",
    "level": "strict",
    "limits": {"memory": 1, "cpu": 0.5, "processes": 1, "disk": None},
    "network": "none",
    "mounts": [{"source": "/a", "target": "/b", "read_only": True}],
    "keep": ["out/**"],
    "keep_always": ["log"],
    "rlimits": {"memory": 2**30, "cpu": None, "processes": None, "disk": 2**20},
}


@given(st.lists(messages, max_size=5), st.data())
def test_what_was_sent_arrives_however_it_is_cut_up(
    sent: list[dict[str, Any]], data: st.DataObject
) -> None:
    stream = b"".join(map(encode, sent))
    frames, arrived = Frames(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        arrived += [decode(frame) for frame in frames.feed(stream[:size])]
        stream = stream[size:]
    assert arrived == sent


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_are_malformed(body: bytes) -> None:
    with contextlib.suppress(Malformed):
        assert isinstance(check(decode(body)), dict)


@given(messages)
def test_any_object_is_a_request_in_every_field_or_is_malformed(message: dict[str, Any]) -> None:
    try:
        checked = check(message)
    except Malformed:
        return
    assert checked.keys() == {"id", "type", *REQUESTS[message["type"]]}


@given(st.sampled_from(sorted(REQUESTS)), st.data())
def test_a_request_with_one_field_changed_never_does_harm(type_: str, data: st.DataObject) -> None:
    request = {"id": 1, "type": type_, **{key: GOOD[key] for key in REQUESTS[type_]}}
    assert check(request) == request
    request[data.draw(st.sampled_from(sorted(request)))] = data.draw(values)
    with contextlib.suppress(Malformed):
        check(request)


LAUNCH = {"id": 1, "type": "launch", **{key: GOOD[key] for key in REQUESTS["launch"]}}


@pytest.mark.parametrize(
    "paths", [[], ["/dev/nvidia0", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"]]
)
def test_a_launch_may_name_the_devices_of_a_gpu(paths: list[str]) -> None:
    assert check({**LAUNCH, "devices": paths})["devices"] == paths


@pytest.mark.parametrize(
    "paths",
    [
        None,
        "/dev/nvidia0",
        [0],
        ["/dev/sda"],
        ["/dev/mem"],
        ["/dev/nvidia"],
        ["/dev/nvidia0\n"],
        ["/dev/nvidia0/../sda"],
        ["/dev/../dev/nvidia0"],
        ["/dev/nvidia-modeset"],
        ["/dev/nvidia-caps/nvidia-cap1"],
        ["/tmp/nvidia0"],
        ["/dev/nvidia1234"],
        ["/dev/nvidia\u0661"],  # a digit, and no ASCII
        ["/dev/nvidia0"] * 17,
    ],
)
def test_a_launch_names_no_other_device(paths: object) -> None:
    with pytest.raises(Malformed, match="devices has no such value"):
        check({**LAUNCH, "devices": paths})


@pytest.mark.parametrize("type_", sorted(REQUESTS))
def test_every_field_is_required_and_none_is_added(type_: str) -> None:
    request = {"id": 1, "type": type_, **{key: GOOD[key] for key in REQUESTS[type_]}}
    for key in REQUESTS[type_]:
        with pytest.raises(Malformed, match=f"{key} is missing"):
            check({name: value for name, value in request.items() if name != key})
    with pytest.raises(Malformed, match="no field"):
        check({**request, "more": 1})


def test_a_frame_that_is_too_long_is_refused_on_both_sides() -> None:
    with pytest.raises(Malformed, match="at most"):
        encode({"type": "x" * FRAME_LIMIT})
    with pytest.raises(Malformed, match="at most"):
        Frames().feed((FRAME_LIMIT + 1).to_bytes(4, "little"))
