"""Checks whether the keeper that listens for the daemon may mount what is configured: it goes by
the `--mounts` that it was started with. It is not spoken to; its command line says it.
"""

from __future__ import annotations

from pathlib import Path

from runner.config.model import Config
from runner.doctor.finding import Finding, ok, warn
from runner.doctor.gpu_access import keepers_credentials
from runner.executors.local.mounts import REMEDY, lacking
from runner.settings import granted_to_keeper

_ID = "keeper.mounts"


def examine(config: Config) -> list[Finding]:
    """One finding; none where no keeper is there, or none that may be looked at."""
    if not config.local.enabled:
        return []
    pid, uid = keepers_credentials(config)
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # also where no keeper listens
        return []
    needed = [f"{path}{':rw' if writable else ''}" for path, writable in granted_to_keeper(config)]
    return [judged(uid, [word.decode(errors="surrogateescape") for word in words], needed)]


def judged(uid: int, words: list[str], needed: list[str]) -> Finding:
    """Of a keeper of that user with that command line, which is to mount what is `needed`, as
    `--mounts` has it."""
    granted: dict[str, bool] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--mounts" or word.startswith("--mounts="):
            value = following if word == "--mounts" else word.partition("=")[2]
            parts = [part.partition(":") for part in value.split(",") if part]
            granted = {path: mode == "rw" for path, _, mode in parts}
    welcome = {"uid": uid, "mounts": granted}
    if missing := lacking(("--mounts", ",".join(needed)), welcome):
        return warn(_ID, f"the keeper that runs may not mount {', '.join(missing)}", REMEDY)
    return ok(_ID, "the keeper that runs may mount what is configured")
