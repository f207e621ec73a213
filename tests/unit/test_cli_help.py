"""`--help` answers at once: nothing is imported for it that a command would need to do its work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runner.cli.outline import outline
from runner.cli.parser import parser

ROOT = Path(__file__).parents[2]

PROGRAM = """
import io, sys
from contextlib import redirect_stdout
from runner.cli.main import main

for words in sys.argv[1:]:
    out = io.StringIO()
    try:
        with redirect_stdout(out):
            main([*words.split(), "--help"])
    except SystemExit as end:
        assert end.code == 0, words
    assert out.getvalue().startswith("usage: env-runner"), words
costly = {"asyncio", "grpc", "google", "msgspec", "structlog", "sqlite3", "aiohttp", "ssl", "json"}
print(*sorted(costly & set(sys.modules)))
"""


def test_help_of_no_command_imports_what_costs_time() -> None:
    words = [" ".join(each.words[1:]) for each in outline(parser()).walk()]
    assert {"", "serve", "config show", "watch"} < set(words)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
