"""What the engine needs of whoever runs attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from runner.domain.exit import Exit
from runner.domain.failure import Failure
from runner.domain.gpu import Gpu
from runner.domain.plan import Mode, Plan
from runner.domain.task import Handle, TaskClass


def unheard(_fraction: float, _step: str, _message: str) -> None:
    """Progress that nobody wants to hear of."""


def always() -> bool:
    """Of a launch that nobody takes back."""
    return True


def unheeded(_container: str) -> None:
    """A container that nobody wants to find."""


@dataclass(frozen=True, slots=True)
class Launch:
    """All that an executor needs to start one attempt, or to find it again.

    `name` is the handle name. `environment` is complete: what the payload gives and what the
    runner sets, but for what only the executor knows (paths). `stdin` and `context` are bytes
    to be given to the process and left in its context file; `None` where there are none.
    `files` are put into the task's own directory, by names of `domain.calls` alone. `interpreter`
    is the Python that runs the call among them: a path, or a name on the task's PATH; without one
    the plan's argv is run.
    `image_digest` is that of the first attempt that had an image, which later ones get too.
    `gpus` are the devices that are leased to it, and the only ones that it may see.
    `progress` is told what is done before the start: a fraction (0 to 1), a word and a sentence.
    `wanted` says whether it is still to be started: what takes long before the start looks now
    and then, and gives up. `launching` is told the id of its container, where it gets one, before
    that is started.
    """

    name: str
    task_id: str
    attempt: int
    task_class: TaskClass
    plan: Plan
    environment: Mapping[str, str]
    boot_id: str = ""
    stdin: bytes | None = None
    context: bytes | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    interpreter: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    tenant: str = ""
    image_digest: str = ""
    gpus: tuple[Gpu, ...] = ()
    progress: Callable[[float, str, str], None] = unheard
    wanted: Callable[[], bool] = always
    launching: Callable[[str], None] = unheeded


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt that runs, or has run. Times are nanoseconds since the epoch. `image_digest` is
    that of the image that it runs, and `ready_time` when that was there, where it has one."""

    handle: Handle
    start_time: int
    image_digest: str = ""
    ready_time: int = 0


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether an executor can run tasks now; `problem` says why not, for a person.

    `level` is the sandbox that its tasks get (empty: it was not asked yet), `why` says why
    that one. `unheld` are the limits that it cannot hold (`memory`, `cpu`, `processes`,
    `disk`), each with why. `user` is as whom tasks run: a name, or a range of uids of which
    each running task has one. `gpus_open` says why a task can open GPUs that are not its own;
    empty where it cannot. `no_gpus` says why no task can be given one. `places` are the directories
    of its own files, which tasks are never shown.
    """

    ready: bool
    version: str = ""
    problem: str = ""
    modes: tuple[Mode, ...] = ()
    notes: tuple[str, ...] = ()  # what else it can and cannot do here, a line each
    level: str = ""
    why: str = ""
    unheld: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    gpus_open: str = ""
    no_gpus: str = ""
    places: tuple[str, ...] = ()


class LaunchFailed(Exception):
    """The attempt's process was not started, and never will be by this launch. `image_digest` is
    that of its image, where that was there; `log` is what was said by what prepared it, for the
    task's stderr."""

    def __init__(self, failure: Failure, image_digest: str = "", log: bytes = b"") -> None:
        super().__init__(failure.message)
        self.failure, self.image_digest, self.log = failure, image_digest, log


@dataclass(frozen=True, slots=True)
class Found:
    """Something that an ended attempt left in its workspace, by its path in there. `problem`
    says why it cannot be given out; empty for a regular file of the task's own."""

    path: str
    size_bytes: int = 0
    directory: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The end of a file in which a task reports something: its last bytes, of `size` in all.
    `problem` says why it is not read, as a sentence; then there are no bytes."""

    data: bytes = b""
    size: int = 0
    problem: str = ""


class Executor(Protocol):
    """Where attempts run. Every call may be made again, after a crash too."""

    name: str

    async def probe(self) -> Readiness:
        """Can it run tasks now?"""
        ...

    async def launch(self, request: Launch) -> Started:
        """Start the attempt, or find it where an attempt of that name was started before.

        Raises LaunchFailed where it was not started.
        """
        ...

    async def adopt(self, request: Launch) -> Started | None:
        """Find what an earlier daemon launched under this name; start nothing.

        `None` only where it was certainly never started. What was started and whose end
        cannot be learned is found, and `wait` tells of it as `Exit.lost`.
        """
        ...

    async def wait(self, handle: Handle) -> Exit:
        """How it ended, once it has: process exited, none of its processes left, output
        drained into the files. May be called again; cancelling the call ends no workload."""
        ...

    async def stop(self, handle: Handle, grace: float) -> None:
        """Ask it to end; whatever is left of it after `grace` seconds is killed, also while
        no daemon is there. Returns at once. Fine where it has ended; repeatable (the
        earliest kill time stands)."""
        ...

    def directory(self, name: str) -> Path:
        """Where the raw files `stdout`, `stderr` and `index` of the attempt lie."""
        ...

    async def find(self, name: str, pattern: str) -> list[Found]:
        """What matches a glob (`**` is any depth) in the workspace of an attempt that has ended;
        nothing where it left none."""
        ...

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """The last `most` bytes of a file (`domain.reports`) in the task's own directory, while
        the attempt runs or once it has ended; None where there is none. Only a regular file of
        the task's own is read, with no second name; nothing is followed, and nothing waited for."""
        ...

    async def progressed(self, name: str) -> None:
        """Return once the progress file of an attempt that runs may have changed since the last
        return, or since the start; an attempt that was found again may have changed it. Costs
        nothing while it waits, and may wait for ever: of an attempt that has ended, or where the
        host cannot tell. For one caller at a time."""
        ...

    async def remove(self, name: str) -> None:
        """Leave no trace of an attempt that has ended: files, cgroup. Twice is fine."""
        ...

    async def close(self) -> None:
        """Let go of connections; workloads run on."""
        ...


@runtime_checkable
class TellsBefore(Protocol):
    """What an Executor may have beside: a way to tell in an attempt's stderr what was done to
    prepare it."""

    async def foreword(self, name: str, text: bytes, most: int) -> None:
        """Let the stderr of the attempt of that name, which was not started, begin with the last
        `most` bytes of a text; it counts as the attempt's output, whether that is started or not.
        Told once, it stays: again is fine."""
        ...


@runtime_checkable
class ChecksGpus(Protocol):
    """What an Executor may have beside: where tasks can lose their GPUs while they run on."""

    async def gpu_problem(self, name: str) -> str:
        """Why the attempt of that name can open its GPUs no more; empty where it can, has none,
        or that cannot be learned. Never raises. To be asked now and then while it runs."""
        ...
