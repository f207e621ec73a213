"""What a keeper that is there may mount, beside what one that is started now would be told: an
earlier daemon may have started it with another configuration. Pure. Not here: who replaces it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import normpath
from typing import Any

from runner.domain.paths import lies_below

REMEDY = (
    "what policy.host_paths, python.directory, python.wheel_houses and python.uv name has to be "
    "in --mounts of the keeper's unit; one that a daemon started itself is replaced when a daemon "
    "connects to it and nothing runs: restart the daemon then"
)


def lacking(options: Sequence[str], welcome: Mapping[str, Any]) -> list[str]:
    """Of the paths behind `--mounts` in `options`, those that the keeper of that `welcome` may not
    mount so. None where it does not say, or asks nobody, since it is not root."""
    if "--mounts" not in options or welcome["uid"] != 0 or "mounts" not in welcome:
        return []
    granted: Mapping[str, bool] = welcome["mounts"]
    wanted = options[options.index("--mounts") + 1].split(",")
    return [each for each in wanted if not _covered(*each.partition(":")[::2], granted)]


def _covered(path: str, mode: str, granted: Mapping[str, bool]) -> bool:
    path = normpath(path)
    return any(
        (writable or mode != "rw") and lies_below(path, place)
        for place, writable in granted.items()
    )
