"""Environments on demand: found, or built once for all who wait, in this process and in others.

Each build has the lock of what it makes, so that two daemons with one directory do not make it
twice; and what a killed daemon had begun is gone on with, or removed. Not here: files (`store.py`),
uv (`commands.py`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.domain import requirements
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.plan import Mount
from runner.environments import commands, tree
from runner.environments.building import Building, BuildLost
from runner.environments.commands import Sources
from runner.environments.failures import BuildFailed, failed
from runner.environments.flocks import awaited, give_back, take
from runner.environments.lock_file import read_lock
from runner.environments.slots import Slots
from runner.environments.store import Kept, Store
from runner.environments.threads import Threads
from runner.environments.values import (
    IN_STRICT,
    STRICT,
    Environment,
    Interpreter,
    Settings,
    Wanted,
    asked,
    place,
    resolved,
)
from runner.failpoints import failpoint
from runner.ports import Executor, Launch, LaunchFailed

_LOOK = 0.2  # seconds between two looks whether it is still wanted
_TRIES = 3  # of a build whose end cannot be learned, and of a find
_THREADS = 4  # for what takes a moment, beside those that unpack what was built
_CLOSED = (STRICT, "standard")
"""Levels whose tasks cannot write to what the daemon owns."""

LEFTOVERS_AFTER = 60.0  # seconds after the start, for tasks to ask for what was being built


def _silent(_event: str, **_fields: object) -> None:
    """For whoever wants no notes."""


@dataclass
class _Build:
    """One that is under way, which holds what it makes; `waiting` are those who want it."""

    holder: str
    work: asyncio.Task[str]
    waiting: int = 0


@dataclass
class _Log:
    """What builds said, under a heading."""

    parts: list[str] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.parts.append(text if text.endswith("\n") or not text else f"{text}\n")

    @property
    def text(self) -> str:
        return "".join(self.parts)


@dataclass
class _Job:
    """What a build is of: its key, what is wanted, and the first attempt that wants it."""

    key: str
    wanted: Wanted
    request: Launch
    log: _Log = field(default_factory=_Log)

    def __post_init__(self) -> None:
        # another build of the same may follow on one that is being stopped
        self.holder = f"environment-{self.key}-{secrets.token_hex(8)}"


class Environments:
    """Builds run on `executor`, beside the tasks; `note` is told what an operator may want to
    know."""

    def __init__(
        self, executor: Executor, settings: Settings, note: Callable[..., None] = _silent
    ) -> None:
        self._executor, self._settings, self._note = executor, settings, note
        self._store = Store(settings.directory, settings.budget, note)
        self._building = Building(executor, settings, settings.directory / "builds")
        self._builds: dict[str, _Build] = {}
        self._slots = Slots(settings.at_once)
        self._stopped: set[asyncio.Task[str]] = set()  # builds that nobody wants, and their ends
        self._tidying: asyncio.Task[None] | None = None
        # its own: where another process keeps the directory's lock, nothing else waits
        self._threads = Threads("environments", settings.at_once + _THREADS)

    async def ready(
        self, request: Launch, interpreter: Interpreter, needed: Sequence[str]
    ) -> Environment:
        """The environment with these requirements, for the attempt of `request` until it is
        `release`d; where it is built, `progress` says so. Raises LaunchFailed, with
        `failure.reason` ENVIRONMENT; its `log` is what the build said."""
        wanted = Wanted(interpreter, requirements.together(needed), request.tenant)
        try:
            return await self._ready(wanted, request)
        except BuildFailed as error:
            raise LaunchFailed(error.failure, log=error.log) from error
        except OSError as error:
            where = str(error.filename or self._store.directory)
            failure = _not_kept(error).failure
            self._note("environment not built", problem=failure.message, path=where)
            raise LaunchFailed(failure) from error

    async def _ready(self, wanted: Wanted, request: Launch) -> Environment:
        kept, log = await self._find(wanted, request), ""
        for _ in range(_TRIES):
            if kept is not None:
                break
            build = self._join(wanted, request)
            try:
                log = await self._result(build, request)
                kept = await self._find(wanted, request)
            finally:
                build.waiting -= 1
                self._leave(build, request)
        if kept is None:
            raise failed("it was changed or removed as soon as it was built, again and again")
        path = seen = str(kept.path)
        mounts: tuple[Mount, ...] = ()
        if request.plan.level == STRICT:
            seen = IN_STRICT
            mounts = (Mount(path, seen), *(Mount(each, each) for each in wanted.interpreter.shown))
        python = f"{seen}/bin/python"
        return Environment(kept.name, path, python, mounts, log.encode(), time.time_ns())

    def release(self, name: str) -> None:
        """The attempt of that name has ended, or was never started. Waits for nothing; its hold
        goes by a thread. Twice is fine."""
        self._store.release(name)
        self._threads.spare(self._store.sweep)

    async def tidy(self, after: float = LEFTOVERS_AFTER) -> None:
        """Have what an earlier daemon left be removed in a while, where nobody asks for it."""
        self._tidying = asyncio.create_task(self._tidy(after), name="environments")

    async def close(self) -> None:
        """Wait for nothing: what is being built goes on, and the next daemon finds it."""
        works: list[asyncio.Task[Any]] = [each.work for each in self._builds.values()]
        works += [*self._stopped, *([self._tidying] if self._tidying else [])]
        self._building.keep_all()
        self._threads.close()
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        self._store.close()

    # --- finding and waiting ----------------------------------------------------------------

    async def _find(self, wanted: Wanted, request: Launch) -> Kept | None:
        return await self._threads.run(self._find_now, wanted, request)

    def _find_now(self, wanted: Wanted, request: Launch) -> Kept | None:
        lock = self._store.lock_of(asked(wanted, self._settings))
        if lock is None:
            return None
        ends = self._executor.directory(request.name).parent
        closed = request.plan.level in _CLOSED
        return self._store.hold(resolved(wanted, lock), request.name, ends, closed=closed)

    def _join(self, wanted: Wanted, request: Launch) -> _Build:
        """The build of it that is under way, or one that begins now."""
        key = asked(wanted, self._settings)
        build = self._builds.get(key)
        if build is None:
            job = _Job(key, wanted, request)
            job.log.add(f"env-runner: building the environment ({_names(wanted)})")
            work = asyncio.create_task(self._build(job), name=job.holder)
            build = self._builds[key] = _Build(job.holder, work)
            work.add_done_callback(lambda _: self._done(key, build))
        build.waiting += 1
        request.progress(0.0, "environment", f"building the environment ({_names(wanted)})")
        return build

    async def _result(self, build: _Build, request: Launch) -> str:
        """The log. Raises BuildFailed; OSError."""
        while not build.work.done():
            await asyncio.wait({build.work}, timeout=_LOOK)
            if not request.wanted():
                raise BuildFailed(_given_up())
        return build.work.result()

    def _done(self, key: str, build: _Build) -> None:
        if self._builds.get(key) is build:
            del self._builds[key]
        self._stopped.discard(build.work)
        if not build.work.cancelled():
            build.work.exception()  # nobody may be left who wants to know
        self._let_go(build)

    def _leave(self, build: _Build, request: Launch) -> None:
        """Nobody waits for a build that is asked for by none: what it takes is for others. One
        whose daemon ends goes on, since who waits is still there then."""
        if not build.waiting and not build.work.done() and not request.wanted():
            self._builds = {key: each for key, each in self._builds.items() if each is not build}
            self._stopped.add(build.work)
            build.work.cancel()
        self._let_go(build)

    def _let_go(self, build: _Build) -> None:
        """Once it was built, and who waited for it has it."""
        if build.work.done() and not build.waiting:
            self.release(build.holder)

    # --- building ---------------------------------------------------------------------------

    async def _build(self, job: _Job) -> str:
        """The log. Raises BuildFailed; OSError."""
        await self._threads.run(self._store.make)
        begun = time.monotonic()
        try:
            async with awaited(self._lock(job.key)):
                lock = await self._threads.run(self._store.lock_of, job.key)
                if lock is None or not await self._still(job, lock):
                    await self._anew(job)
        except BuildFailed as error:
            job.log.add(error.log.decode())
            job.log.add(f"env-runner: {error.failure.message}")
            self._note("environment not built", problem=error.failure.message)
            raise BuildFailed(error.failure, job.log.text.encode()) from error
        except OSError as error:
            failure = _not_kept(error).failure
            job.log.add(f"env-runner: {failure.message}")
            where = str(error.filename or self._store.directory)
            self._note("environment not built", problem=failure.message, path=where)
            raise BuildFailed(failure, job.log.text.encode()) from error
        took = time.monotonic() - begun
        self._note("environment built", seconds=round(took, 3), requirements=_names(job.wanted))
        job.log.add(f"env-runner: the environment is ready after {took:.1f} s")
        return job.log.text

    async def _still(self, job: _Job, lock: str) -> bool:
        """Whether what it came to before can be had: packages may be others by now. Raises
        BuildFailed where that cannot be told; OSError."""
        try:
            await self._again(self._install, job, lock)
        except BuildFailed as error:
            if error.failure.fault is not Fault.TASK:
                raise
            job.log.add(error.log.decode())
            return False
        return True

    async def _anew(self, job: _Job) -> None:
        """What does not come to an environment is resolved again by who asks next."""
        lock = await self._again(self._resolve, job, "")
        try:
            await self._again(self._install, job, lock)
        except BuildFailed:
            await self._threads.run(self._store.forget_lock, job.key)
            raise

    async def _again(
        self, step: Callable[[_Job, str], Awaitable[str]], job: _Job, lock: str
    ) -> str:
        """Do that, and again where its end cannot be learned. Raises BuildFailed; OSError."""
        left = _TRIES
        while True:
            left -= 1
            try:
                return await step(job, lock)
            except BuildLost as error:
                if not left:
                    raise failed(str(error)) from error

    async def _resolve(self, job: _Job, _: str) -> str:
        """The lock."""
        wanted, settings = job.wanted, self._settings

        def words(sources: Sources) -> dict[str, Any]:
            return commands.resolve(wanted.interpreter.path, wanted.requirements, settings, sources)

        name = f"environment-resolve-{job.key}"
        async with (
            self._slots.taken(wanted.tenant),
            self._building.run(name, job.request, wanted.interpreter, words) as built,
        ):
            job.log.add(built.log)
            lock = await self._threads.run(read_lock, built.out)
            key = resolved(wanted, lock)
            await self._threads.run(self._store.note_lock, job.key, lock, key)
            return lock

    async def _install(self, job: _Job, lock: str) -> str:
        """The lock, once its environment is there; another way of asking may have come to it."""
        wanted, settings = job.wanted, self._settings

        def words(sources: Sources) -> dict[str, Any]:
            return commands.install(wanted.interpreter.path, lock, settings, sources)

        key = resolved(wanted, lock)
        name = f"environment-install-{key}"
        async with awaited(self._lock(key)):
            if await self._threads.run(self._is_there, key, job.holder):
                return lock
            async with (
                self._slots.taken(wanted.tenant),
                self._building.run(name, job.request, wanted.interpreter, words) as built,
            ):
                job.log.add(built.log)
                await self._threads.run(self._keep, key, job, built.out)
        return lock

    def _lock(self, key: str) -> Path:
        return self._store.directory / "locks" / key

    def _is_there(self, key: str, holder: str) -> bool:
        return self._store.hold(key, holder, self._store.directory) is not None

    def _keep(self, key: str, job: _Job, archive: Path) -> None:
        interpreter, tenant = job.wanted.interpreter.path, place(job.wanted.tenant)
        with self._store.staging() as made:
            try:
                with archive.open("rb") as file:
                    content = tree.unpack(file, str(made), interpreter, self._settings.size)
            except tree.BadArchive as error:
                raise failed(str(error), fault=Fault.TASK) from error
            failpoint("environment_unpacked")
            self._store.keep(key, tenant, made, content, job.holder)
        self._store.make_room()

    # --- what was left ----------------------------------------------------------------------

    async def _tidy(self, after: float) -> None:
        await asyncio.sleep(after)
        try:
            await self._threads.run(self._store.make)
            for note in sorted((self._store.directory / "builds").iterdir()):
                path = self._lock(note.name.rpartition("-")[2])
                if (lock := take(path)) is not None:
                    try:
                        await self._building.forget(note.name)
                    finally:
                        give_back(path, lock)
            for path in sorted((self._store.directory / "locks").iterdir()):
                if (lock := take(path)) is not None:  # of a daemon that was killed
                    give_back(path, lock)
            await self._threads.run(self._store.make_room)
        except OSError as error:
            self._note("environments not tidied", problem=str(error))


def _names(wanted: Wanted) -> str:
    text = ", ".join(wanted.requirements)
    return text if len(text) <= 200 else f"{text[:200]} …"  # noqa: PLR2004 - of a heading


def _not_kept(error: OSError) -> BuildFailed:
    """The runner's own files could not be had. Paths of the host are for its operator's log."""
    return failed(f"it cannot be kept (python.directory): {error.strerror or error}")


def _given_up() -> Failure:
    """Its environment is not to blame: whether that would have come is not known."""
    return Failure(Reason.START, "it was cancelled before it was started", Fault.TASK)
