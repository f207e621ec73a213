"""The requests about containers that this executor makes, and the states that engines tell.

Every container is named by its id, which a rename does not change. Not here: what they are made
for (`executor.py`), or what an attempt is (`attempt.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import runner.executors.container.attach as attaching
from runner.executors.container.attach import Attached
from runner.executors.container.engine import (
    LIMIT,
    Absent,
    Conflict,
    Engine,
    Failed,
    OutOfReach,
    TimedOut,
)
from runner.executors.container.spec import Body

_ATTACH = 30.0  # seconds
_ENDINGS = 5  # times that is asked anew what does not last
_LOOK, _LOOKS = 0.05, 400  # seconds between two looks whether it is gone, and how many
_MAKE = 120.0  # seconds: a storage driver without layers copies the whole image
_REMOVE = 120.0  # seconds: many files may go with it
_FOLLOWS = 1_000_000_000  # nanoseconds from an end until it is among the engine's events
# nanoseconds that an engine has to begin its answer, twice: a busy one is given longer
_AHEAD = (250_000_000, 1_000_000_000, 4_000_000_000, 16_000_000_000)
NEVER = ("created", "configured", "initialized", "")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class State:
    """How a container stands. Times are nanoseconds since the epoch by the engine's clock, 0 where
    it has none. `error` is what the engine says went wrong."""

    id: str
    status: str
    running: bool
    paused: bool
    code: int
    started: int
    finished: int
    oom: bool
    pid: int
    error: str

    @property
    def fresh(self) -> bool:
        """Whether it was created and never started."""
        return self.status in NEVER and not self.started

    def anew(self, run: int) -> bool:
        """Whether it was started once more after the start at `run`, 0 where that is not known."""
        return 0 < run < self.started


async def _again(ask: Callable[[], Awaitable[T]], passing: str) -> T:
    """The answer; asked for anew, a few times, where the engine fails with words of something that
    does not last."""
    for _ in range(_ENDINGS):
        try:
            return await ask()
        except Failed as error:
            if passing not in str(error):
                raise
        await asyncio.sleep(_LOOK)
    return await ask()


class Containers:
    """Requests to one engine. All raise EngineError."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._keeping_ids = asyncio.Lock()

    async def create(self, name: str, body: Body) -> str:
        """The new container's id. Raises Conflict where the name is taken."""
        if not body.get("HostConfig", {}).get("UsernsMode", "").startswith("keep-id"):
            return await self._create(name, body)
        # One after the other: for each, Podman reads the user's ids, and beside others it was seen
        # not to find them.
        async with self._keeping_ids:
            return await _again(lambda: self._create(name, body), "keep-id requires additional")

    async def _create(self, name: str, body: Body) -> str:
        made = await self.engine.call(
            "create", lambda docker: docker.containers.create(body, name=name), _MAKE
        )
        return str(made.id)

    async def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine says of it. Raises Absent."""
        # Podman says that of one whose process is ending at this very moment
        return await _again(lambda: self._inspect(container), "no such process")

    async def _inspect(self, container: str) -> dict[str, Any]:
        return await self.engine.call(
            "inspect", lambda docker: docker.containers.container(container).show()
        )

    async def annotations(self, container: str, told: Mapping[str, Any]) -> dict[str, Any]:
        """With which it is handed to the engine's runtime: Podman tells them by its own API alone,
        Docker in its answer to `inspect`, which is `told`. Raises Absent."""
        libpod = await self.engine.libpod()
        if not libpod:
            return (told.get("HostConfig") or {}).get("Annotations") or {}
        said = await self.engine.json("inspect", f"{libpod}/containers/{container}/json")
        config = said.get("Config") or {}
        if "Annotations" not in config:
            raise Failed(f"{self.engine.name} does not tell a container's annotations")
        return config["Annotations"] or {}

    async def state(self, container: str) -> State:
        """How it stands. Raises Absent."""
        return state(await self.inspect(container))

    async def start(self, container: str) -> None:
        """Start it."""
        await self.engine.call(
            "start", lambda docker: docker.containers.container(container).start(), _MAKE
        )

    async def signal(self, container: str, signal: str) -> None:
        """Send it; fine where it has ended. One that is paused goes on, to be able to end."""
        with contextlib.suppress(Absent, Conflict, Failed):  # it has ended
            await self._let_on(container)
            await self.engine.call(
                "kill", lambda docker: docker.containers.container(container).kill(signal=signal)
            )

    async def _let_on(self, container: str) -> None:
        """Have it go on if it is paused: no signal would arrive, and Podman says nothing of that.
        Raises Absent."""
        if not (await self.state(container)).paused:
            return
        with contextlib.suppress(Conflict, Failed):  # somebody else has just done it
            await self.engine.call(
                "unpause", lambda docker: docker.containers.container(container).unpause()
            )

    async def stop(self, container: str, seconds: int) -> None:
        """Have the engine ask it to stop, and kill it after so long, with or without us. Returns
        when it has ended; fine where it had. One that is paused goes on."""
        with contextlib.suppress(Absent):
            await self._let_on(container)
            await self.engine.call(
                "stop",
                lambda docker: docker.containers.container(container).stop(t=seconds),
                seconds + 30.0,
            )

    async def remove(self, container: str, *, force: bool) -> None:
        """Remove it with its anonymous volumes; fine where it is gone. Unless `force`d, Conflict
        where it runs."""
        # Podman says that of one that ended before it could be killed
        await _again(lambda: self._remove(container, force=force), "state improper")

    async def _remove(self, container: str, *, force: bool) -> None:
        try:
            await self.engine.call(
                "remove",
                lambda docker: docker.containers.container(container).delete(v=True, force=force),
                _REMOVE,
            )
        except Absent:
            return
        except Conflict:
            if not force:
                raise
            await self._gone(container)  # it is being removed already

    async def _gone(self, container: str) -> None:
        """Return once it is there no more. Raises Conflict where it stays."""
        for _ in range(_LOOKS):
            try:
                await self.inspect(container)
            except Absent:
                return
            await asyncio.sleep(_LOOK)
        raise Conflict(f"container {container} is being removed, and stays")

    async def over(self, container: str) -> None:
        """Return once the engine says that it runs no more: to be believed after `state`."""
        path = f"containers/{container}/wait"
        async with self.engine.stream("wait", "POST", path, limit=None) as body:
            await body.read()

    async def attach(self, container: str, streams: Collection[str]) -> Attached:
        """Those of its streams, from now on."""
        with self.engine.timed("attach"):
            version = await self.engine.version()
            try:
                async with asyncio.timeout(_ATTACH):
                    socket = self.engine.socket
                    return await attaching.attach(socket, version, container, streams)
            except TimeoutError as error:
                raise TimedOut(f"it was not attached within {_ATTACH:g} s") from error

    async def knock(self) -> None:
        """Whether the engine takes a new connection and answers there: one that is being stopped
        does not, and goes on with those that it has."""
        with self.engine.timed("knock"):
            try:
                async with asyncio.timeout(LIMIT):
                    await attaching.knock(self.engine.socket)
            except TimeoutError as error:
                why = f"it did not answer a new connection within {LIMIT:g} s"
                raise TimedOut(why) from error

    async def remembered(self, finished: int) -> list[Mapping[str, Any]]:
        """All events that the engine remembers, those of its own life alone, asked for on a new
        connection: others may be with an engine that is on its way out. Among them, whatever
        clock it has, is what followed on an end that it tells of (ns since the epoch).

        Docker leaves out what is newer than the time that it is asked for, and how many are left
        tells whether it has forgotten any: that time is thus still to come when it answers."""
        for ahead in _AHEAD:
            until = max(time.time_ns() + ahead, finished + _FOLLOWS)
            events, in_time = await self._events(until, ahead // 2)
            if in_time:
                return events
        raise TimedOut(f"{self.engine.name} took too long to begin to tell its events")

    async def _events(self, until: int, spare: int) -> tuple[list[Mapping[str, Any]], bool]:
        """What is remembered until then (ns since the epoch), and whether the answer began so many
        nanoseconds earlier."""
        upto = f"{until // 1_000_000_000}.{until % 1_000_000_000:09d}"
        engine = self.engine.another()
        try:
            params = {"since": "1", "until": upto}
            async with engine.stream("events", "GET", "events", params=params) as body:
                in_time = time.time_ns() < until - spare
                return [each async for each in engine.lines(body, LIMIT)], in_time
        finally:
            await engine.close()

    @contextlib.asynccontextmanager
    async def log(
        self, container: str, *, follow: bool, timed: bool
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Its log from the start, as bytes of frames; `timed` with its time before each piece."""
        params = {"stdout": "1", "stderr": "1", "follow": str(int(follow))}
        params["timestamps"] = str(int(timed))
        path = f"containers/{container}/logs"
        async with self.engine.stream("logs", "GET", path, params=params) as body:
            yield body.iter_any()

    async def labelled(self, label: str) -> list[Mapping[str, Any]]:
        """All containers with a label ("name=value"), running or not."""
        filters = json.dumps({"label": [label]})
        found = await self.engine.call(
            "list", lambda docker: docker.containers.list(all=True, filters=filters)
        )
        return [
            {key: each[key] for key in ("Id", "Names", "Labels", "State", "Created")}
            for each in found
        ]


def state(told: Mapping[str, Any]) -> State:
    """The state in an inspection's answer. Raises OutOfReach where it has none."""
    try:
        it = told["State"]
        return State(
            id=str(told["Id"]),
            status=str(it.get("Status", "")),
            # Podman calls what it was asked to stop "stopping", with a code of 0 until it knows
            running=bool(it.get("Running") or it.get("Paused") or it.get("Status") == "stopping"),
            paused=bool(it.get("Paused")),
            code=int(it.get("ExitCode") or 0),
            started=nanoseconds(str(it.get("StartedAt", ""))),
            finished=nanoseconds(str(it.get("FinishedAt", ""))),
            oom=bool(it.get("OOMKilled")),
            pid=int(it.get("Pid") or 0),
            error=str(it.get("Error") or ""),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise OutOfReach("the engine's answer is not what the protocol has") from error


_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*(Z|[+-]\d\d:\d\d)", re.ASCII
)


def nanoseconds(text: str) -> int:
    """A time as engines write it, since the epoch; 0 for none."""
    found = _TIME.fullmatch(text)
    if found is None:
        return 0
    try:
        moment = datetime.fromisoformat(found[1] + found[3].replace("Z", "+00:00"))
    except ValueError:
        return 0
    return max(0, int(moment.timestamp())) * 1_000_000_000 + int((found[2] or "").ljust(9, "0"))
