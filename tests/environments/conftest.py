"""Environments in a store of their own, with tasks in one sandbox or another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.environments import Site


@pytest.fixture(params=["none", "strict", pytest.param("standard", marks=pytest.mark.root)])
async def site(request: pytest.FixtureRequest, nothing_is_left: Path) -> AsyncIterator[Site]:
    async for each in _site(request.param, nothing_is_left):
        yield each


@pytest.fixture
async def open_site(nothing_is_left: Path) -> AsyncIterator[Site]:
    """Where a sandbox makes no difference."""
    async for each in _site("none", nothing_is_left):
        yield each


@pytest.fixture
async def strict_site(nothing_is_left: Path) -> AsyncIterator[Site]:
    async for each in _site("strict", nothing_is_left):
        yield each


async def _site(level: str, directory: Path) -> AsyncIterator[Site]:
    if level == "standard" and os.geteuid() != 0:
        pytest.skip("cannot here: needs root")
    root = Path(tempfile.mkdtemp(dir=directory))
    os.chmod(root, 0o755)  # noqa: PTH101, S103 - tests with other users have to get through
    made = Site(root, level)
    try:
        if problem := await made.ready():
            pytest.skip(f"cannot here: {problem}")
        yield made
    finally:
        await made.close()
