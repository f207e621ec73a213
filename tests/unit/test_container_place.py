"""The directory of an attempt in a container: what its task finds there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runner.executors.container.place import Places


@pytest.mark.parametrize(("context", "said"), [(None, b"{}"), (b'{"a":1}', b'{"a":1}')])
def test_the_file_that_a_variable_names_is_there(
    tmp_path: Path, context: bytes | None, said: bytes
) -> None:
    places = Places(tmp_path / "root")
    for _ in range(2):  # as after a crash
        places.make("er-1", (os.geteuid(), os.getegid()), context)
        assert (places.of("er-1") / "task" / "context.json").read_bytes() == said
