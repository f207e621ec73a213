"""The engines that this test process knows, for the guards against leaks.

A container and a volume are leaks like any process; the engine itself, started once for many
tests, is none. Not here: when that is asked for (`tests/support/leaks.py`).
"""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator

from tests.engines.engine import Engine
from tests.engines.talk import Refused

_known: list[Engine] = []


@contextlib.contextmanager
def known(engine: Engine) -> Iterator[Engine]:
    """Have the guards look at it, too."""
    _known.append(engine)
    try:
        yield engine
    finally:
        _known.remove(engine)


def own() -> set[int]:
    """The pids of engines themselves."""
    return set().union(*(engine.own() for engine in _known))


def things() -> set[tuple[str, str, str]]:
    """What is in them: the engine's address, what it is, its name. Of one that does not answer,
    nothing."""
    found = set()
    for engine in _known:
        if engine.empty():
            continue
        with contextlib.suppress(OSError, http.client.HTTPException, Refused):
            found |= {(engine.url, "container", name) for name in engine.talk.containers()}
            found |= {(engine.url, "volume", name) for name in engine.talk.volumes()}
    return found


def remove(things: set[tuple[str, str, str]]) -> None:
    """Remove what was leaked; a container's volumes go with it."""
    talks = {engine.url: engine.talk for engine in _known}
    for url, kind, name in sorted(things):
        with contextlib.suppress(OSError, http.client.HTTPException, Refused):
            talks[url].call("DELETE", f"/{kind}s/{name}", force="1", v="1")
