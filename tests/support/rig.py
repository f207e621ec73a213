"""One executor under test, with what a contract test needs around it.

A rig is the fake, or `local` as one user or as three, or `local` in a sandbox, or an engine with
containers; the tests see no difference but in `real` and in what engines cannot tell. How each is
put together is in `tests/contract/conftest.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from runner.domain.calls import SCRIPT
from runner.domain.exit import Exit
from runner.domain.limits import Limits
from runner.domain.plan import Mode, Mount, Plan
from runner.domain.task import TaskClass, handle_name
from runner.ports import Executor, Launch, Started
from tests.engines.fixtures import PYTHON_IMAGE
from tests.support.outputs import Summary, summary
from tests.support.proxied import Proxied
from tests.support.waiting import until
from tests.support.workload import PYTHON, Workload

LIMITS = Limits(
    wall_time=60.0,
    idle_time=None,
    grace=1.0,
    cpu_cores=1.0,
    memory_bytes=1 << 30,
    max_processes=4096,
    disk_bytes=1 << 30,
    output_bytes=1 << 30,
)

_ELSEWHERE = Path("/open")

_SIGNALS = range(129, 193)  # 128 and a signal's number

_ids = itertools.count(1)


@dataclass(frozen=True)
class Ended:
    """What a finished attempt left."""

    request: Launch
    started: Started
    exit: Exit
    output: Summary


@dataclass
class Rig:
    """`again` makes the executor of a daemon with a later epoch on the same world; `lose` makes
    the ends of what runs unknowable; `open` is a directory in which tasks may write, and `there`
    is where they see it."""

    executor: Executor
    real: bool
    open: Path
    again: Callable[[int], Awaitable[Executor]]
    lose: Callable[[], Awaitable[None]]
    uid: int = 0  # as whom tasks run, where `real`
    level: str = ""  # of the sandbox, where `real`
    unheld: tuple[str, ...] = ()  # limits that are not held, where `real`
    contained: str = ""  # the engine's kind, where tasks are containers
    python: bool = False  # tasks are calls of Python
    _seen: dict[str, Launch] = field(default_factory=dict)
    _epoch: int = 1

    @property
    def there(self) -> Path:
        return _ELSEWHERE if self.level == "strict" or self.contained else self.open

    @property
    def lost_words(self) -> tuple[str, ...]:
        """What the end says of what `lose` did."""
        return ("container", "removed") if self.contained else ("keeper", "died")

    @property
    def added(self) -> set[str]:
        """Variables that an engine sets whatever it is asked."""
        return {"HOSTNAME", "TERM", "container"} if self.contained else set()

    def below(self, directory: str) -> str:
        """A working directory, as a payload names it."""
        return f"/{directory}" if self.contained else directory

    def told(self, codes: Iterable[int]) -> list[int]:
        """Those of the exit codes that nothing else looks like: a container's init has signals
        told as a shell tells them. And few, for each takes a while."""
        if not self.slow:
            return list(codes)
        return [code for code in codes if not _SIGNALS.start <= code < _SIGNALS.stop][::8]

    @property
    def slow(self) -> bool:
        """Whether to start one takes so long that few are enough."""
        return bool(self.contained) or self.python

    async def next_daemon(self) -> Executor:
        """The daemon's end without a word, and the executor of the next one."""
        if isinstance(self.executor, Proxied):
            await self.executor.kill()
        else:
            await self.executor.close()
        self._epoch += 1
        self.executor = await self.again(self._epoch)
        return self.executor

    def request(
        self,
        workload: Workload | tuple[str, ...],
        *,
        limits: Limits = LIMITS,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        working_dir: str = "",
    ) -> Launch:
        """A launch of a task never seen before. A tuple is an argv as it is."""
        task_id = f"contract-{os.getpid()}-{next(_ids)}"
        argv, files = self._program(workload)
        apart = self.level == "strict" or bool(self.contained)
        mounts = (Mount(str(self.open), str(_ELSEWHERE), read_only=False),) if apart else ()
        variables = {"PATH": "/usr/bin:/bin", "ENV_RUNNER_TASK_ID": task_id}
        request = Launch(
            name=handle_name("contract", task_id, 1),
            task_id=task_id,
            attempt=1,
            task_class=TaskClass.CPU_SHORT,
            plan=Plan(
                Mode.PYTHON if self.python else Mode.DOCKER if self.contained else Mode.NATIVE,
                self.contained or "local",
                argv,
                limits,
                image=PYTHON_IMAGE if self.contained else "",
                entrypoint=() if self.contained and not self.python else None,
                command=argv if self.contained and not self.python else None,
                working_dir=working_dir,
                mounts=mounts,
                network="none" if apart else "host",
                level=self.level,
                unheld=self.unheld,
            ),
            environment={**variables, **(environment or {})},
            boot_id=Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            stdin=stdin,
            files=files,
        )
        self._seen[request.name] = request
        return request

    def _program(
        self, workload: Workload | tuple[str, ...]
    ) -> tuple[tuple[str, ...], dict[str, bytes]]:
        """What is asked for, and the files of a call. Of those a tuple of more than a word is what
        it becomes, and one of a single word is its interpreter."""
        if not self.python:
            argv = workload if isinstance(workload, tuple) else workload.argv(real=self.real)
            return argv, {}
        if isinstance(workload, Workload):
            return (PYTHON, SCRIPT), {SCRIPT: workload.script().encode()}
        become = f"import os\nargv = {list(workload)!r}\nos.execvp(argv[0], argv)\n"
        interpreter = PYTHON if len(workload) > 1 else workload[0]
        return (interpreter, SCRIPT), {SCRIPT: become.encode()}

    async def run(self, workload: Workload | tuple[str, ...], **words: object) -> Ended:
        """Launch it (see `request` for the words) and wait for its end."""
        request = self.request(workload, **words)  # type: ignore[arg-type] # handed on as given
        return await self.finish(request, await self.executor.launch(request))

    async def finish(self, request: Launch, started: Started) -> Ended:
        """Wait for the end of what was launched."""
        exit_ = await self.executor.wait(started.handle)
        return Ended(request, started, exit_, await self.output(request.name))

    async def output(self, name: str) -> Summary:
        """What is in the attempt's files now, read as the daemon would read it."""
        if isinstance(self.executor, Proxied):
            result = await self.executor.output(name)
            assert isinstance(result, Summary)
            return result
        return summary(self.executor.directory(name))

    async def says(self, name: str, what: bytes) -> None:
        """Return once the attempt has written `what` to stdout."""

        async def said() -> bool:
            return what in (await self.output(name)).stdout

        await until(said, f"{name} writes {what!r}")

    def processes(self, request: Launch) -> list[int]:
        """The pids that have the attempt's environment; none for the fake."""
        mark = f"ENV_RUNNER_TASK_ID={request.task_id}\0".encode()
        return [pid for pid in _pids() if mark in _environment(pid)]

    async def close(self) -> None:
        """End and remove all that was asked for here."""

        async def end(request: Launch) -> None:
            if started := await self.executor.adopt(request):
                await self.executor.stop(started.handle, 0.0)
                await self.executor.wait(started.handle)
            await self.executor.remove(request.name)

        await asyncio.gather(*map(end, self._seen.values()))
        await self.executor.close()


def limits(**changes: float | None) -> Limits:
    """The suite's usual limits but for these."""
    return replace(LIMITS, **changes)  # type: ignore[arg-type] # bytes are whole numbers all the same


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""
