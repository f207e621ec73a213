"""Addresses in the configuration that are taken: each where nobody else's is."""

from __future__ import annotations

from pathlib import Path

import pytest

from runner.config import load


@pytest.mark.parametrize(
    "text",
    [
        '[grpc]\ninsecure = true\nlisten = ["127.0.0.1:0", "127.0.0.1:0", "unix:/a", "unix:/b"]',
        '[grpc]\nlisten = []\n[[grpc.sockets]]\npath = "/a"\nroles = []\ntenants = ["*"]',
        '[http]\npublic_url = "https://host:8443/runners/7"',
        '[http]\nlisten = ""\npublic_url = "http://[::1]:9464/"',
    ],
)
def test_addresses_that_can_be_reached_each_by_itself_are_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    load(path, {"HOME": "/home/worker"}, root=False)
