"""What a cached environment adds to a Python task: its look-up, and a start in it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from bench.figure import Figure, median, spread
from runner import environments
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Plan
from runner.domain.task import TaskClass
from runner.environments import Environments, Interpreter, Settings
from runner.executors.local import LocalExecutor
from runner.executors.local.dismissal import dismiss
from runner.executors.local.options import keeper_options
from runner.ports import Launch

_RUNS, _FIRST = 60, 5
_USERS = "2100000000-2100000999"
_PYTHON = "/usr/bin/python3"
_LIMITS = Limits(60.0, None, 1.0, 1.0, 256 << 20, 256, 256 << 20, 1 << 20)
_numbers = itertools.count()


async def cached(directory: Path) -> list[Figure]:
    """One that is there, in each sandbox, against a bare `python -c pass` in the same."""
    figures = []
    for level in ("none", "strict"):
        root = directory / f"environments-{level}"
        async with _executor(root, level) as executor:
            said = await executor.probe()
            if said.problem:
                print(f"  cannot here: {said.problem}")
                continue
            figures.append(await _measure(executor, root, level, tuple(said.unheld)))
    return figures


async def _measure(
    executor: LocalExecutor, root: Path, level: str, unheld: tuple[str, ...]
) -> Figure:
    settings = Settings(root / "environments", wheel_houses=(str(root / "wheels"),))
    made = Environments(executor, settings)
    python = Interpreter(_PYTHON, await _version())
    times: dict[bool, list[float]] = {False: [], True: []}
    try:
        for run, within in itertools.product(range(_RUNS + _FIRST), (False, True)):
            request = _request(level, unheld, python.path)
            begun = time.perf_counter()
            if within:
                found = await made.ready(request, python, ["tiny"])
                plan = replace(request.plan, argv=(found.python, "-c", "pass"), mounts=found.mounts)
                request = replace(request, plan=plan)
            started = await executor.launch(request)
            end = await executor.wait(started.handle)
            took = (time.perf_counter() - begun) * 1e3
            if end.code != 0:
                raise SystemExit(f"it did not run: {end}")
            made.release(request.name)
            await executor.remove(request.name)
            if run >= _FIRST:
                times[within].append(took)
    finally:
        await made.close()
    bare, with_ = median(times[False]), median(times[True])
    added = [one - other for one, other in zip(times[True], times[False], strict=True)]
    return Figure(
        f"a cached environment adds to python -c pass, sandbox {level}, p50",
        with_ - bare,
        "ms",
        at_most=15,
        spread=spread(added),
        note=f"{with_:.1f} ms with, {bare:.1f} without",
    )


@asynccontextmanager
async def _executor(root: Path, level: str) -> AsyncIterator[LocalExecutor]:
    await asyncio.to_thread(_prepare, root)
    shown = [str(root / "environments"), str(root / "wheels"), environments.uv()]
    executor = LocalExecutor(
        root / "keeper",
        keeper_options=keeper_options(
            level, None, _USERS, None, [(each, False) for each in shown], root=os.geteuid() == 0
        ),
        sandbox=level,
    )
    try:
        yield executor
    finally:
        await dismiss(executor)
        await executor.close()


def _prepare(root: Path) -> None:
    root.mkdir()
    root.chmod(0o755)
    (root / "wheels").mkdir()
    _wheel(root / "wheels")


def _request(level: str, unheld: tuple[str, ...], python: str) -> Launch:
    return Launch(
        name=f"bench-{next(_numbers)}",
        task_id="bench",
        attempt=1,
        task_class=TaskClass.CPU_SHORT,
        plan=Plan(
            Mode.NATIVE,
            "local",
            (python, "-c", "pass"),
            _LIMITS,
            network="none" if level == "strict" else "host",
            level=level,
            unheld=unheld if level == "strict" else ("disk", *unheld),
        ),
        environment={},
    )


async def _version() -> str:
    code = "import json, sys; print(json.dumps(sys.version_info[:3]))"
    process = await asyncio.create_subprocess_exec(
        *(_PYTHON, "-c", code), stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return ".".join(map(str, json.loads(said)))


def _wheel(house: Path) -> None:
    """A package with nothing in it."""
    info = "tiny-1.0.dist-info"
    files = {
        "tiny.py": "",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "".join(
            f"{name},,\n" for name in ("tiny.py", f"{info}/METADATA", f"{info}/RECORD")
        ),
    }
    with zipfile.ZipFile(house / "tiny-1.0-py3-none-any.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
