"""A large task among small ones: others are held back for it, and its tenant pays for that."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.capacity import Ledger, Need
from runner.planning.clearing import Clearing
from runner.planning.fairness import PATIENCE
from runner.planning.policy import TenantRules
from tests.support.crowd import LONG, SHORT, Crowd, Job

CORES = st.sampled_from([0.1, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0])
LENGTHS = st.floats(0.01, 60)
TASKS = st.tuples(CORES, LENGTHS)
SLACK = 1e-6


def test_a_first_task_of_two_shares_waits_for_one_task_and_not_for_a_whole_flood() -> None:
    crowd = Crowd(cores=2.0, slots={SHORT: 2, LONG: 1})
    for _ in range(300):
        crowd.join("hog", 1.0, 0.4)
    crowd.run(2.1)
    victim = crowd.join("victim", 2.0, 0.01)
    crowd.finish()
    assert victim.waited <= 0.4


@settings(deadline=None)
@given(
    st.lists(TASKS, min_size=1, max_size=80),
    st.tuples(CORES, LENGTHS),
    st.floats(0.01, 200),
    st.sampled_from([2.0, 60.0]),
)
def test_whatever_one_tenant_has_waiting_another_first_task_waits_for_one_length_at_most(
    flood: list[tuple[float, float]], first: tuple[float, float], time: float, wall: float
) -> None:
    crowd = Crowd()
    lengths = [min(length, wall) for _, length in flood]
    for (cores, _), length in zip(flood, lengths, strict=True):
        crowd.join("hog", cores, length, wall=wall)
    crowd.run(time)
    victim = crowd.join("victim", *first)
    crowd.finish()
    assert victim.waited <= max(lengths) + SLACK


@settings(deadline=None)
@given(
    st.lists(st.tuples(CORES, LENGTHS, st.booleans()), min_size=1, max_size=60),
    st.tuples(CORES, LENGTHS, st.sampled_from([SHORT, LONG])),
    st.floats(0.01, 200),
    st.sampled_from([1, 2, 64]),
)
def test_and_for_three_lengths_at_most_where_the_other_tenant_floods_two_classes(
    flood: list[tuple[float, float, bool]],
    first: tuple[float, float, TaskClass],
    time: float,
    slots: int,
) -> None:
    crowd = Crowd(slots={SHORT: 4, LONG: slots})
    for cores, length, is_long in flood:
        crowd.join("hog", cores, length, of=LONG if is_long else SHORT, wall=60)
    crowd.run(time)
    victim = crowd.join("victim", first[0], first[1], of=first[2])
    crowd.finish()
    assert victim.waited <= 3 * max(length for _, length, _ in flood) + SLACK


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 30),
            st.sampled_from("abcdefgh"),
            st.sampled_from([SHORT, LONG]),
            CORES,
            LENGTHS,
        ),
        max_size=60,
    )
)
def test_once_others_are_held_back_for_a_first_task_it_starts_when_what_runs_has_ended(
    arrivals: list[tuple[float, str, TaskClass, float, float]],
) -> None:
    crowd, longest = Crowd(slots={SHORT: 4, LONG: 2}), 0.0
    first: dict[str, Job] = {}
    for pause, tenant, of, cores, length in arrivals:
        crowd.run(crowd.time + pause)
        job = crowd.join(tenant, cores, length, of=of, wall=60 if of is SHORT else 900)
        longest = max(longest, length)
        first.setdefault(tenant, job)
    crowd.finish()
    assert crowd.waiting == 0, "somebody waits for ever"
    for job in first.values():
        if job.held is not None and job.started is not None:
            assert job.started - job.held <= 2 * longest + SLACK
    assert crowd.scheduler.ledger.idle


@settings(max_examples=15, deadline=None)
@given(
    st.floats(0.01, 3),
    st.lists(st.floats(0.5, 1.5), min_size=4, max_size=20),
    st.sampled_from([SHORT, LONG]),
)
def test_a_tenant_of_large_tasks_leaves_no_more_of_the_host_idle_than_others_use(
    large: float, small: list[float], of: TaskClass
) -> None:
    crowd = Crowd()
    huge = crowd.join("large", 4.0, large, of=of)
    while crowd.time < 40:
        for number in range(max(12 - crowd.waiting, 0)):
            crowd.join("small", 1.0, small[(len(crowd.jobs) + number) % len(small)])
        if huge.started is not None:  # there is always another one
            huge = crowd.join("large", 4.0, large, of=of)
        crowd.run(crowd.ends[0][0])
    idle = 4.0 * crowd.time - sum(crowd.used.values())
    assert idle <= crowd.used["small"] + 4.0 * max(small) + SLACK


def test_large_tasks_of_one_class_leave_another_its_time() -> None:
    crowd = Crowd()
    huge = crowd.join("large", 4.0, 30.0, of=LONG)
    while crowd.time < 600:
        for _ in range(max(12 - crowd.waiting, 0)):
            crowd.join("small", 1.0, 1.0)
        if huge.started is not None:
            huge = crowd.join("large", 4.0, 30.0, of=LONG)
        crowd.run(crowd.ends[0][0])
    starts = {of: sum(name.startswith(of) for name in crowd.jobs) for of in ("large", "small")}
    assert abs(starts["small"] - 30 * starts["large"]) <= 60


def test_who_left_the_host_idle_is_overtaken_until_others_have_used_as_much() -> None:
    crowd = Crowd()
    for _ in range(400):
        crowd.join("small", 1.0, 1.0)
    for _ in range(2):
        crowd.join("large", 4.0, 0.01)
    crowd.join("small", 0.5, 0.5)
    crowd.run(0.5)
    assert crowd.scheduler.held_for == ""
    crowd.finish()
    first, second = (job for job in crowd.jobs.values() if job.task.tenant == "large")
    assert first.waited <= 1.0
    assert second.started is not None
    assert first.started is not None
    assert second.started - first.started >= 1.0


def test_a_task_that_may_not_go_now_for_another_reason_holds_nobody_back() -> None:
    ready = {"local"}
    crowd = Crowd(
        cores=2.0,
        slots={SHORT: 64, LONG: 0},
        ready=lambda name: name in ready,
        tenants={"bound": TenantRules(max_running=0)},
    )
    for _ in range(8):
        crowd.join("small", 1.0, 1.0)
    for tenant, of, executor, cores in (
        ("bound", SHORT, "local", 2.0),
        ("closed", LONG, "local", 2.0),
        ("away", SHORT, "other", 2.0),
        ("too large", SHORT, "local", 3.0),
    ):
        crowd.join(tenant, cores, 1.0, of=of, executor=executor)
    crowd.run(2.5)
    assert crowd.scheduler.held_for == ""
    assert crowd.used["small"] == 5.0
    crowd.finish()
    states = {job.task.tenant: job.started for job in crowd.jobs.values()}
    assert states.pop("small") is not None
    assert states == {"bound": None, "closed": None, "away": None, "too large": 4.0}


def test_others_go_at_once_when_the_one_for_which_they_were_held_back_is_cancelled() -> None:
    crowd = Crowd(cores=2.0)
    crowd.join("long", 1.0, 50.0)
    crowd.join("short", 1.0, 1.0)
    large = crowd.join("large", 2.0, 1.0)
    small = crowd.join("small", 1.0, 1.0)
    crowd.run(5.0)
    assert crowd.scheduler.held_for == large.task.task_id
    crowd.scheduler.leave(large.task.task_id)
    assert (crowd.scheduler.held_for, small.started) == ("", 5.0)
    crowd.finish()


def test_who_is_over_before_there_can_be_room_goes_past_one_of_each_tenant() -> None:
    crowd = Crowd(cores=2.0, slots={SHORT: 2, LONG: 1})
    crowd.join("long", 1.0, 200.0, of=LONG, wall=900.0)
    crowd.join("short", 1.0, 1.0)
    large = crowd.join("large", 2.0, 1.0)
    short = [crowd.join("other", 1.0, 1.0) for _ in range(2)]
    late = crowd.join("third", 1.0, 1.0, wall=900.0)
    crowd.run(2.0)
    assert crowd.scheduler.held_for == large.task.task_id
    assert [job.started for job in (*short, late)] == [1.0, 2.0, None]
    need = Need(SHORT, 1_000_000, 0, "fourth", 60.0)
    crowd.run(3.0)
    assert crowd.scheduler.obstacle("local", need) == ""
    crowd.join("fourth", 1.0, 300.0, of=LONG, wall=800.0)
    assert crowd.scheduler.obstacle("local", Need(SHORT, 1_000_000, 0, "x", 900.0)) == "capacity"
    crowd.finish()
    assert large.started == 200.0
    assert late.started is not None
    assert late.started >= 201.0


def test_one_tenant_alone_is_overtaken_across_its_classes_only_so_often() -> None:
    crowd = Crowd(cores=2.0)
    for _ in range(4 * PATIENCE):
        crowd.join("a", 1.0, 1.0)
    for _ in range(3):
        crowd.join("a", 2.0, 1.0, of=LONG)
    crowd.finish()
    large = [job for job in crowd.jobs.values() if job.task.task_class is LONG]
    assert all(job.waited <= 2 * PATIENCE for job in large)


def test_what_is_owed_is_paid_by_what_others_use_and_not_by_the_debtor() -> None:
    clearing = Clearing()
    clearing.begin("t", "a", 10.0)
    clearing.advance(14.0, {"b": 0.5})
    assert clearing.owes("a")
    clearing.stop()
    clearing.advance(20.0, {"a": 1.0})
    assert clearing.owes("a")
    clearing.advance(21.0, {"a": 0.5, "b": 1.0})
    assert clearing.owes("a")
    clearing.advance(23.1, {"b": 1.0})
    assert clearing.idle


@given(
    st.lists(
        st.tuples(st.integers(0, 2_000_000), st.floats(0, 100), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 4_000_000),
)
def test_the_time_by_which_there_is_room_is_that_at_which_enough_has_ended(
    held: list[tuple[int, float, bool]], cpu: int
) -> None:
    ledger, ends = Ledger(4.0, 1000, {SHORT: 100}), {}
    for number, (cores, end, past) in enumerate(held):
        ledger.hold(str(number), Need(SHORT, cores, 0))
        if not past:
            ends[str(number)] = end
    by = ledger.fits_by(Need(SHORT, cpu, 0), ends)
    staying = sum(cores for cores, end, past in held if not past and end > by)
    assert staying + cpu <= 4_000_000 or not staying
    if by in ends.values():  # and no sooner
        before = sum(cores for cores, end, past in held if not past and end >= by)
        assert before + cpu > 4_000_000
