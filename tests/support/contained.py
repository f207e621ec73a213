"""A rig whose tasks are containers of a real engine.

With Podman of an ordinary user the executor, too, is that user's, in a process of its own: what
is the daemon's and what is the engine's has one owner there.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runner.ports import Executor
from tests.engines.engine import Engine
from tests.engines.rootless import Rootless
from tests.support.container_executor import executor
from tests.support.proxied import Proxied
from tests.support.rig import Rig
from tests.support.users import environment_for_others, python_for_others, reason_against_users

UID = 64_003


async def contained(engine: Engine, directory: Path) -> AsyncIterator[Rig]:
    """`directory` is open to everybody."""
    other = engine.kind == "rootless"
    if other and (reason := reason_against_users()):
        pytest.skip(reason)
    uid = engine.uid if isinstance(engine, Rootless) else UID
    seen = directory / "o"
    seen.mkdir()
    seen.chmod(0o1777)
    root = directory / "state" / "c"
    root.mkdir(parents=True)
    if other:
        os.chown(root.parent, uid, uid)
        os.chown(root, uid, uid)
    words = (engine.kind, engine.url, str(root), str(seen), str(uid))

    async def again(_epoch: int) -> Executor:
        if not other:
            return executor(*words)
        python = python_for_others()
        assert python is not None
        factory = "tests.support.container_executor:executor"
        return await Proxied.begin([python], uid, environment_for_others(), factory, *words)

    async def lose() -> None:
        for name in engine.talk.containers():
            engine.talk.remove(name)

    kind = "podman" if other else engine.kind
    rig = Rig(await again(1), True, seen, again, lose, uid, contained=kind)
    try:
        rig.unheld = tuple((await rig.executor.probe()).unheld)
        yield rig
    finally:
        await rig.close()
        shutil.rmtree(directory / "state", ignore_errors=True)
