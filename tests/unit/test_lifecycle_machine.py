"""The lifecycle machine through random orders of events: crashes, cancels, retries, reboots.

A world keeps what an executor would: which attempts were started, and how each ended. Effects
that the machine asks for are pending until they are carried out, in any order, or lost in a
crash, after which only the stored task and the world are left.
"""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.domain import effects as do
from runner.domain import events as e
from runner.domain.changes import apply, diff
from runner.domain.exit import Exit, Stopped
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.lifecycle import Phase, handle, phase_of
from runner.domain.plan import Artifact
from runner.domain.starts import accept
from runner.domain.task import EventType, State, Task
from runner.domain.transition import Transition
from tests.support.tasks import HANDLE, a_plan, a_task, retrying

NEXT = {
    None: "accepted",
    "accepted": "preparing cancelled",
    "preparing": "started retrying finalizing failed cancelled",
    "started": "progress retrying finalizing failed cancelled",
    "progress": "progress retrying finalizing failed cancelled",
    "retrying": "preparing cancelled",
    "finalizing": "completed failed cancelled",
}
FAILURES = st.sampled_from(
    [
        Failure(Reason.START, "no such program", Fault.TASK),
        Failure(Reason.EXECUTOR, "out of reach", Fault.SYSTEM, retryable=True),
    ]
)
EXITS = st.builds(
    Exit,
    start_time=st.just(3),
    exit_time=st.integers(3, 9),
    code=st.sampled_from([0, 0, 1]),
    stopped=st.sampled_from([None, None, Stopped.WALL_TIME]),
)
PLANS = st.sampled_from(
    [
        a_plan(),
        retrying("EXIT_CODE", "LOST", attempts=4),
        retrying("TIMED_OUT", "START", attempts=2),
        retrying("GPU_LOST", attempts=3),
        a_plan(outputs=(Artifact("out"),)),
    ]
)
DRAWS = st.floats(0, 1, exclude_max=True)


class Life(RuleBasedStateMachine):
    @initialize(plan=PLANS)
    def begin(self, plan: object) -> None:
        self.time = 1
        self.boot = 1
        self.starts: dict[int, int] = {}
        self.ends: dict[int, Exit] = {}
        self.held = False
        self.told: list[EventType] = []
        self.effects: list[do.Effect] = []
        self.task: Task = a_task(plan=plan)  # type: ignore[arg-type] # sampled from plans
        self._take(accept(self.task), new=True)

    def _tell(self, event: e.Event) -> None:
        self._take(handle(self.task, event))

    def _take(self, transition: Transition, *, new: bool = False) -> None:
        before = None if new else self.task
        for step in transition.steps:
            assert apply(before, diff(before, step.task)) == step.task
            before = step.task
            if step.type is not None:
                assert step.type in NEXT[self.told[-1] if self.told else None].split()
                self.told.append(step.type)
        if phase_of(self.task) is Phase.ENDED:
            ended = {step.task.state for step in transition.steps}
            assert ended <= {self.task.state}, "an end is for ever"
        self.task = transition.task
        for effect in transition.effects:
            if isinstance(effect, do.Release):
                self.held = False
            elif isinstance(effect, do.Dequeue):
                self._drop(do.Enqueue)
            elif isinstance(effect, do.DropTimer):
                self._drop(do.SetTimer)
            else:
                self.effects.append(effect)

    def _drop(self, kind: type[do.Effect]) -> None:
        self.effects = [effect for effect in self.effects if not isinstance(effect, kind)]

    def _now(self) -> int:
        self.time += 1
        return self.time

    @precondition(lambda self: self.effects)
    @rule(data=st.data(), draw=DRAWS)
    def carry_out(self, data: st.DataObject, draw: float) -> None:
        effect = data.draw(st.sampled_from(self.effects))
        if isinstance(effect, do.Await) and effect.number not in self.ends:
            return
        self._carry_out(effect, data.draw(st.none() | FAILURES), draw)

    def _carry_out(self, effect: do.Effect, failure: Failure | None, draw: float) -> None:
        self.effects.remove(effect)
        event = self._answer(effect, self._now(), failure, draw)
        if event is not None:
            self._tell(event)

    def _answer(
        self, effect: do.Effect, now: int, failure: Failure | None, draw: float
    ) -> e.Event | None:
        match effect:
            case do.Enqueue():
                self.held = True
                number = len(self.task.attempts) + 1
                return e.Granted(now, f"er-{number}", f"boot-{self.boot}", (f"GPU-{number}",))
            case do.Launch(number) if failure is not None and number not in self.starts:
                return e.LaunchFailed(now, number, failure, draw)
            case do.Launch(number):
                self.starts[number] = self.starts.get(number, 0) + 1
                return e.Launched(now, number, HANDLE, now)
            case do.Adopt(number):
                found = number in self.starts
                return e.Adopted(now, number, HANDLE, 3) if found else e.NotStarted(now, number)
            case do.Inquire(number) | do.Await(number):
                lost = Exit(0, now, lost="the host was rebooted")
                return e.Exited(now, number, self.ends.get(number, lost), draw)
            case do.Stop(number):
                self.ends.setdefault(number, Exit(3, now, signal=9, stopped=Stopped.REQUESTED))
            case do.Finalize(number):
                return e.Finalized(now, number)
            case do.SetTimer():
                return e.RetryDue(now)
        return None

    @precondition(lambda self: self.starts.keys() - self.ends.keys())
    @rule(exit_=EXITS)
    def a_process_ends(self, exit_: Exit) -> None:
        self.ends[min(self.starts.keys() - self.ends.keys())] = exit_

    @rule(data=st.data())
    def launch_is_killed_half_way(self, data: st.DataObject) -> None:
        launches = [effect for effect in self.effects if isinstance(effect, do.Launch)]
        if launches and launches[0].number not in self.starts and data.draw(st.booleans()):
            self.starts[launches[0].number] = 1
        self.crash(rebooted=False)

    @rule(rebooted=st.sampled_from([False, False, False, True]))
    def crash(self, *, rebooted: bool) -> None:
        self.effects = []
        self.boot += rebooted
        if rebooted:
            for number in self.starts.keys() - self.ends.keys():
                self.ends[number] = Exit(0, self._now(), lost="the host was rebooted")
        running = (Phase.PREPARING, Phase.RUNNING, Phase.FINALIZING)
        self.held = phase_of(self.task) in running
        self._tell(e.Resumed(self._now(), f"boot-{self.boot}"))

    @rule(grace=st.none() | st.floats(0, 9))
    def cancel(self, grace: float | None) -> None:
        self._tell(e.CancelRequested(self._now(), grace, "enough"))

    @precondition(lambda self: self.task.attempts)
    @rule(late=st.booleans())
    def lose_gpu(self, *, late: bool) -> None:
        number = max(len(self.task.attempts) - late, 1)
        self._tell(e.GpuLost(self._now(), number, "its GPU was lost"))

    @rule()
    def acknowledge(self) -> None:
        self._tell(e.Acknowledged(self._now()))

    @invariant()
    def each_attempt_is_started_once_at_most(self) -> None:
        launches = [effect for effect in self.effects if isinstance(effect, do.Launch)]
        assert len(launches) <= 1
        assert all(effect.number not in self.starts for effect in launches)

    @invariant()
    def a_task_that_has_not_ended_waits_for_something(self) -> None:
        asks = [effect for effect in self.effects if not isinstance(effect, do.Stop)]
        if phase_of(self.task) is Phase.ENDED:
            assert not asks
            assert not self.held
            assert self.task.end_time
        else:
            assert len(asks) == 1

    @invariant()
    def only_who_has_a_share_runs(self) -> None:
        working = (Phase.PREPARING, Phase.RUNNING, Phase.FINALIZING)
        assert self.held == (phase_of(self.task) in working)

    @invariant()
    def an_attempt_that_lost_its_gpu_is_told_so_or_ended_before(self) -> None:
        for attempt in self.task.attempts:
            assert attempt.gpu_uuids == (f"GPU-{attempt.number}",)
            if attempt.failure is not None and attempt.failure.reason is Reason.GPU_LOST:
                assert attempt.failure.retryable
                assert attempt.exit is None or attempt.exit.stopped is not Stopped.WALL_TIME

    @invariant()
    def a_cancelled_task_never_begins_again(self) -> None:
        if self.task.cancel is not None:
            assert self.task.state is not State.PENDING

    def teardown(self) -> None:
        if not self.told:
            return
        for _ in range(40):
            for number in self.starts:
                self.ends.setdefault(number, Exit(3, self._now(), code=0))
            if not self.effects:
                break
            self._carry_out(self.effects[0], None, 0.5)
        assert phase_of(self.task) is Phase.ENDED
        assert sum(kind in {"completed", "failed", "cancelled"} for kind in self.told) == 1
        assert set(self.starts.values()) <= {1}


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
