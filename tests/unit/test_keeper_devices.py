"""Which kinds of devices are those of NVIDIA's driver, by what the kernel says."""

from __future__ import annotations

import pytest

from runner.keeper import devices, tracing

HEAD = "Character devices:\n  1 mem\n  5 /dev/tty\n{}254 ndctl\n\nBlock devices:\n  7 loop\n{}"
OLD = "195 nvidia-frontend\n234 nvidia-nvlink\n235 nvidia-caps\n510 nvidia-uvm\n"
NEW = "195 nvidia\n195 nvidiactl\n195 nvidia-modeset\n236 nvidia-nvswitch\n510 nvidia-uvm\n"


@pytest.mark.parametrize(
    ("characters", "blocks", "found"),
    [
        ("", "", ()),
        (OLD, "", (195, 234, 235, 510)),
        (NEW, "", (195, 236, 510)),
        ("", "259 nvidia\n", ()),  # a disk, whatever it is called
        ("240 nvidiary\n241 my-nvidia\n", "", ()),
    ],
)
def test_the_drivers_kinds_are_told_by_their_names(
    monkeypatch: pytest.MonkeyPatch, characters: str, blocks: str, found: tuple[int, ...]
) -> None:
    monkeypatch.setattr(tracing, "read", lambda _: HEAD.format(characters, blocks).encode())
    assert devices.majors() == found


def test_where_the_kernel_says_nothing_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: str) -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(tracing, "read", gone)
    assert devices.majors() == ()
    with pytest.raises(devices.Unfit):
        devices.look(["/dev/nvidia0"])
