"""Carries effects out: each returns the event that answers it, and none ever raises.

Only calls to executors are here; what is answered at once (queue, ledger, timers) is the
actor's. What an executor fails in without an answer is asked again, for as long as it takes:
an attempt that was started is never given up because a connection was lost.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import replace

from runner.domain import effects as do
from runner.domain import events as happened
from runner.domain.events import Event
from runner.domain.exit import Exit
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.payload import Body
from runner.domain.plan import Mode
from runner.domain.task import Handle, Progress, Task
from runner.domain.verdict import Verdict, judge
from runner.engine.bodies import Bodies
from runner.engine.devices import Devices
from runner.engine.outputs import collect, reported
from runner.engine.reports import Following, Reports
from runner.failpoints import failpoint
from runner.planning.environment import environment
from runner.ports import ChecksGpus, Clock, Executor, Launch, LaunchFailed, Observer, Started

ADOPTIONS = 32
"""Attempts of one executor that are looked for at once after a restart: enough to be quick, few
enough to be kind. One that does not answer holds up no other's."""

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two tries of a call that an executor did not answer."""

GPU_CHECK = 4.0
"""Seconds between two questions whether a task can still open its GPU, where that can change."""

INQUIRY = 5.0
"""Seconds that an executor has to tell the end of an attempt of an earlier boot. Whoever
knows it has it recorded."""

_NOTHING = Body()


class Performer:
    """`tell` is called with what happens to a task while an effect for it is under way."""

    def __init__(
        self,
        executors: Mapping[str, Executor],
        bodies: Bodies,
        clock: Clock,
        observer: Observer,
        *,
        devices: Devices,
        reports: Reports,
    ) -> None:
        self._executors, self._bodies, self._devices = executors, bodies, devices
        self._clock, self._observer, self._reports = clock, observer, reports
        reports.tell = self._tell
        self.tell: Callable[[str, Event], None] = lambda _task_id, _event: None
        self.unwanted: Callable[[str], bool] = lambda _task_id: False
        self._adopting = {each: asyncio.Semaphore(ADOPTIONS) for each in executors}

    async def perform(self, effect: do.Effect, task: Task) -> Event | None:
        """Do it for `task`, as it stood when the effect was asked for."""
        try:
            executor = self._executors.get(task.attempt.executor)
            if executor is None:
                return await self._without_executor(effect, task)
            return await self._with(executor, effect, task)
        except Exception as error:  # noqa: BLE001 - an effect never raises: see the module
            self._note("effect failed unexpectedly", task, error, effect=type(effect).__name__)
            if isinstance(effect, do.Launch):
                return self._unstarted(task, "the runner failed to launch it")
            return None  # a restart asks for it again; to guess an end would be worse

    async def _with(self, executor: Executor, effect: do.Effect, task: Task) -> Event | None:
        match effect:
            case do.Launch():
                return await self._launch(executor, task)
            case do.Adopt():
                return self._found(task, await self._adopt(executor, task))
            case do.Inquire():
                return await self._inquire(executor, task)
            case do.Await():
                return await self._await(executor, task, task.attempt.handle)
            case do.Stop(_, grace):
                await self._stop(executor, task, grace)
                return None
            case do.Finalize(number):
                return await self._finalize(executor, task, number)
        raise AssertionError(f"{type(effect).__name__} is not for an executor")

    async def _launch(self, executor: Executor, task: Task) -> Event:
        try:
            request = await self._request(task)
        except LaunchFailed as failed:
            return self._failed(task, failed.failure)
        try:
            started = await executor.launch(request)
            failpoint("after_spawn")
        except LaunchFailed as failed:
            return self._failed(task, failed.failure, failed.image_digest)
        except Exception as error:  # noqa: BLE001 - it may have been started all the same: ask
            self._note("launch was not answered", task, error)
            found = await self._adopt(executor, task)
            if found is None:
                return self._unstarted(task, "its executor failed to launch it")
            started = found
        now, number = self._clock.wall(), task.attempt.number
        return happened.Launched(
            now,
            number,
            started.handle,
            started.start_time,
            started.image_digest,
            started.ready_time,
        )

    async def _adopt(self, executor: Executor, task: Task) -> Started | None:
        pause = FIRST_PAUSE
        while True:
            try:
                async with self._adopting[task.attempt.executor]:
                    return await executor.adopt(self._shape(task))
            except Exception as error:  # noqa: BLE001 - asked again until it is answered
                self._note("adoption was not answered", task, error)
            pause = await self._pause(pause)

    async def _await(self, executor: Executor, task: Task, handle: Handle | None) -> Event:
        checking = None
        if task.attempt.gpu_uuids and isinstance(executor, ChecksGpus):
            checking = asyncio.create_task(self._check_gpus(executor, task), name="gpu-check")
        try:
            async with self._reports.following(executor, task) as following:
                event = await self._wait(executor, task, handle)
            return await self._reported(executor, task, event, following)
        finally:
            if checking is not None:
                checking.cancel()

    async def _reported(
        self, executor: Executor, task: Task, event: happened.Exited, following: Following
    ) -> Event:
        """The end, with what the attempt reported until then. Where outputs are looked for, the
        result is read with them."""
        exit_ = event.exit
        if exit_.lost:
            return event
        await following.end()
        if task.plan.mode is Mode.PYTHON and exit_.code:
            exit_ = replace(exit_, exception=await self._reports.exception(executor, task))
            event = replace(event, exit=exit_)
        if task.plan.outputs or judge(exit_, task.plan.limits, cancelled=False) != Verdict():
            return event
        return replace(event, result=await self._reports.result(executor, task))

    def _tell(self, task_id: str, event: Event) -> None:
        self.tell(task_id, event)

    async def _check_gpus(self, executor: ChecksGpus, task: Task) -> None:
        """Tell a task whose device is well and that can open it no more."""
        why = ""
        while not why:
            await self._clock.sleep(GPU_CHECK)
            why = await executor.gpu_problem(task.attempt.name)
        now = self._clock.wall()
        self.tell(task.task_id, happened.GpuLost(now, task.attempt.number, why))

    async def _wait(self, executor: Executor, task: Task, handle: Handle | None) -> happened.Exited:
        pause = FIRST_PAUSE
        while handle is not None:
            try:
                exit_ = await executor.wait(handle)
                failpoint("after_exit")
                return self._exited(task, exit_)
            except Exception as error:  # noqa: BLE001 - asked again until it is answered
                self._note("waiting was not answered", task, error)
            pause = await self._pause(pause)
        return self._lost(task, "it was started without a handle to find it by")

    async def _inquire(self, executor: Executor, task: Task) -> Event:
        """Of an attempt of an earlier boot only a recorded end can be learned. It ends as lost
        also where it was not found: a record of its start may have been lost with the host."""
        lost = self._lost(task, "the host was rebooted while it ran, and no end was recorded")
        found = await self._adopt(executor, task)
        if found is None:
            return lost
        try:
            async with asyncio.timeout(INQUIRY):
                event = await self._await(executor, task, found.handle)
        except TimeoutError:
            return lost
        return lost if isinstance(event, happened.Exited) and event.exit.lost else event

    async def _stop(self, executor: Executor, task: Task, grace: float) -> None:
        handle = task.attempt.handle
        pause = FIRST_PAUSE
        while handle is not None:
            try:
                await executor.stop(handle, grace)
            except Exception as error:  # noqa: BLE001 - asked again until it is answered
                self._note("stop was not answered", task, error)
            else:
                return
            pause = await self._pause(pause)

    async def _finalize(self, executor: Executor, task: Task, number: int) -> Event:
        pause = FIRST_PAUSE
        while True:
            try:
                failure, result = await collect(executor, task)
                if result is not None:
                    result = reported(result, await self._reports.result(executor, task))
            except Exception as error:  # noqa: BLE001 - asked again until it is answered
                self._note("outputs were not answered", task, error)
            else:
                return happened.Finalized(self._clock.wall(), number, failure, result)
            pause = await self._pause(pause)

    async def _without_executor(self, effect: do.Effect, task: Task) -> Event | None:
        """Its executor was taken out of the configuration."""
        name = task.attempt.executor
        text = f"the executor {name!r} is not configured on this runner any more"
        match effect:
            case do.Launch():
                return self._unstarted(task, text)
            case do.Finalize(number):
                unread = Failure(Reason.OUTPUT, text, Fault.SYSTEM, retryable=True)
                return happened.Finalized(self._clock.wall(), number, unread)
            case do.Stop():
                return None
        self._devices.withhold(task, f"whether its last task has ended is not known: {text}")
        return self._lost(task, text)

    async def _request(self, task: Task) -> Launch:
        """Raises LaunchFailed where its device is lost already."""
        shape = self._shape(task, await self._bodies.of(task.task_id))
        return replace(shape, gpus=await self._devices.ready(task, shape.wanted))

    def _shape(self, task: Task, body: Body = _NOTHING) -> Launch:
        return Launch(
            name=task.attempt.name,
            task_id=task.task_id,
            attempt=task.attempt.number,
            task_class=task.task_class,
            plan=task.plan,
            environment=environment(task, task.attempt.number),
            boot_id=task.attempt.boot_id,
            stdin=body.stdin,
            context=body.context,
            files=body.files,
            labels=task.labels,
            tenant=task.tenant,
            image_digest=next((one.image_digest for one in task.attempts if one.image_digest), ""),
            gpus=self._devices.known(task),
            progress=lambda *said: self._progressed(task, *said),
            wanted=lambda: not self.unwanted(task.task_id),
            launching=lambda container: self._devices.launching(task, container),
        )

    def _progressed(self, task: Task, fraction: float, step: str, message: str) -> None:
        now = self._clock.wall()
        progress = Progress(min(max(fraction, 0.0), 1.0), step, message, now)
        self.tell(task.task_id, happened.Progressed(now, task.attempt.number, progress))

    async def _pause(self, pause: float) -> float:
        await self._clock.sleep(pause)
        return min(pause * 2, LONGEST_PAUSE)

    def _found(self, task: Task, found: Started | None) -> Event:
        now, number = self._clock.wall(), task.attempt.number
        if found is None:
            return happened.NotStarted(now, number, _draw())
        return happened.Adopted(
            now, number, found.handle, found.start_time, found.image_digest, found.ready_time
        )

    def _exited(self, task: Task, exit_: Exit) -> happened.Exited:
        return happened.Exited(self._clock.wall(), task.attempt.number, exit_, _draw())

    def _lost(self, task: Task, why: str) -> happened.Exited:
        now = self._clock.wall()
        return self._exited(task, Exit(task.attempt.start_time, now, lost=why))

    def _failed(self, task: Task, failure: Failure, image_digest: str = "") -> Event:
        now, number = self._clock.wall(), task.attempt.number
        return happened.LaunchFailed(now, number, failure, _draw(), image_digest)

    def _unstarted(self, task: Task, why: str) -> Event:
        return self._failed(task, Failure(Reason.EXECUTOR, why, Fault.SYSTEM, retryable=True))

    def _note(self, text: str, task: Task, error: Exception, **fields: object) -> None:
        number = task.attempt.number
        self._observer.note(text, task_id=task.task_id, attempt=number, error=error, **fields)


def _draw() -> float:
    return random.random()  # noqa: S311 - jitter, no secret
