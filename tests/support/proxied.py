"""An executor that works in a child process, as another user.

`Proxied` is the near side; run as a program, this module is the far side: it makes an
executor by a factory ("module:function" and its arguments), does what it is asked, and answers
over its stdin and stdout in pickles. Both sides are this test suite; nothing foreign is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import itertools
import os
import pickle
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

from runner.domain.exit import Exit
from runner.domain.failure import Failure
from runner.domain.task import Handle
from runner.ports import Excerpt, Executor, Launch, LaunchFailed, Readiness, Started
from tests.support.outputs import summary

HEAD = struct.Struct("<I")


async def _receive(reader: asyncio.StreamReader) -> tuple[object, ...]:
    (length,) = HEAD.unpack(await reader.readexactly(HEAD.size))
    message: tuple[object, ...] = pickle.loads(await reader.readexactly(length))  # noqa: S301 - our own
    return message


def _packed(message: tuple[object, ...]) -> bytes:
    data = pickle.dumps(message)
    return HEAD.pack(len(data)) + data


class Proxied:
    """The near side: an Executor whose calls are made by a process of another user."""

    name = "local"

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[object]] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def begin(
        cls, python: Sequence[str], uid: int, environment: dict[str, str], factory: str, *words: str
    ) -> Proxied:
        """Start the far side as `uid`, with the executor that `factory(*words)` makes."""
        process = await asyncio.create_subprocess_exec(
            *python,
            "-m",
            "tests.support.proxied",
            factory,
            *words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            user=uid,
            group=uid,
            extra_groups=[],
            cwd="/",
            limit=1 << 26,
        )
        return cls(process)

    async def probe(self) -> Readiness:
        result = await self._call("probe")
        assert isinstance(result, Readiness)
        return result

    async def launch(self, request: Launch) -> Started:
        result = await self._call("launch", request)
        assert isinstance(result, Started)
        return result

    async def foreword(self, name: str, text: bytes, most: int) -> None:
        await self._call("foreword", name, text, most)

    async def adopt(self, request: Launch) -> Started | None:
        result = await self._call("adopt", request)
        assert result is None or isinstance(result, Started)
        return result

    async def wait(self, handle: Handle) -> Exit:
        result = await self._call("wait", handle)
        assert isinstance(result, Exit)
        return result

    async def stop(self, handle: Handle, grace: float) -> None:
        await self._call("stop", handle, grace)

    def directory(self, name: str) -> Path:
        raise AssertionError("only the far side may look into the files: use `output`")

    async def output(self, name: str) -> object:
        """What the far side can read of an attempt's files."""
        return await self._call("output", name)

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        result = await self._call("read_report", name, file, most)
        assert result is None or isinstance(result, Excerpt)
        return result

    async def progressed(self, name: str) -> None:
        await self._call("progressed", name)

    async def remove(self, name: str) -> None:
        await self._call("remove", name)

    async def close(self) -> None:
        """End the far side."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        await self._reading
        await self._process.wait()

    async def kill(self) -> None:
        """End the far side as kill -9 does."""
        self._process.kill()
        await self.close()

    async def _call(self, method: str, *words: object) -> object:
        number = next(self._numbers)
        assert self._process.stdin is not None
        future = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._process.stdin.write(_packed((number, method, *words)))
        try:
            return await future
        except asyncio.CancelledError:
            self._process.stdin.write(_packed((number, "cancel")))
            raise
        finally:
            del self._waiting[number]

    async def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                number, kind, value = await _receive(self._process.stdout)
                future = self._waiting.get(int(str(number)))
                if future is None or future.done():
                    continue
                if kind == "result":
                    future.set_result(value)
                elif isinstance(value, Failure):
                    future.set_exception(LaunchFailed(value))
                else:
                    future.set_exception(RuntimeError(str(value)))
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(ConnectionError("the far side is gone"))


async def _serve(executor: Executor) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    answers = os.dup(1)
    tasks: dict[object, asyncio.Task[None]] = {}

    async def work(number: object, method: str, words: tuple[object, ...]) -> None:
        kind: str = "result"
        value: object
        try:
            if method == "output":
                value = summary(executor.directory(str(words[0])))
            else:
                value = await getattr(executor, method)(*words)
        except LaunchFailed as failed:
            kind, value = "failed", failed.failure
        except Exception as error:  # noqa: BLE001 - the near side raises it
            kind, value = "raised", repr(error)
        data = memoryview(_packed((number, kind, value)))
        while data:  # blocking: the near side always reads
            data = data[os.write(answers, data) :]

    with contextlib.suppress(asyncio.IncompleteReadError):
        while True:
            number, method, *words = await _receive(reader)
            if method == "cancel":
                if task := tasks.get(number):
                    task.cancel()
                continue
            tasks[number] = loop.create_task(work(number, str(method), tuple(words)))
    for task in tasks.values():
        task.cancel()
    await executor.close()


async def _main(factory: str, *words: str) -> None:
    module, _, function = factory.partition(":")
    await _serve(getattr(importlib.import_module(module), function)(*words))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
