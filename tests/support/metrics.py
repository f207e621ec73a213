"""Prometheus' own judge of a page of metrics."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def promtool(text: str) -> None:
    """Fails where `promtool check metrics` finds a fault."""
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("promtool, of Debian's package prometheus, is not installed")
    said = subprocess.run(
        [tool, "check", "metrics"], input=text, capture_output=True, text=True, check=False
    )
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
