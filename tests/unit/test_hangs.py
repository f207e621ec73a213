"""A test that hangs fails, also where what it waits in swallows the timeout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HANGS = """
import asyncio

async def stubborn():
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            pass

async def test_hangs():
    swallows = asyncio.ensure_future(stubborn())
    while True:
        try:
            await asyncio.shield(swallows)
        except BaseException:
            pass
"""


def test_a_hang_that_swallows_its_timeout_ends_the_process_and_shows_where(tmp_path: Path) -> None:
    (tmp_path / "test_hangs.py").write_text(HANGS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml")),
            *(
                "--rootdir",
                str(tmp_path),
                "-p",
                "no:cacheprovider",
                "-o",
                "timeout=1",
                str(tmp_path),
            ),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "Timeout" in done.stdout + done.stderr
    assert "test_hangs.py" in done.stdout + done.stderr
