"""Turns of tasks that want a GPU: by age within a tenant, and nobody is held back for a device."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.capacity import need_of
from tests.support.crowd import LONG, SHORT, Counted, Crowd, Job

GPU = TaskClass.GPU


def crowd(devices: int, *, slots: int = 64, cores: float = 4.0) -> Crowd:
    return Crowd(cores=cores, slots={SHORT: 64, LONG: 64, GPU: slots}, devices=Counted(devices))


def test_who_finds_no_device_waits_and_is_told_no_gpu_and_not_that_its_class_is_busy() -> None:
    host = crowd(1)
    first, second = (host.join("a", 1.0, 5.0, of=GPU) for _ in range(2))
    assert (first.started, second.started) == (0.0, None)
    assert host.scheduler.obstacle("local", need_of(second.task)) == "no_gpu"
    host.finish()
    assert second.started == 5.0
    assert host.devices == Counted(1)


def test_who_wants_a_device_that_is_busy_holds_nobody_back_for_cores() -> None:
    host = crowd(1, cores=2.0)
    host.join("a", 1.0, 100.0, of=GPU)
    waits = host.join("b", 2.0, 1.0, of=GPU)
    others = [host.join("c", 1.0, 1.0) for _ in range(5)]
    host.run(50.0)
    assert waits.started is None
    assert all(other.ended is not None for other in others)
    assert host.scheduler.held_for == ""


def test_a_device_that_is_free_again_goes_to_who_waits_and_not_to_who_comes() -> None:
    host = crowd(1)
    jobs = [host.join("a", 0.5, 1.0, of=GPU) for _ in range(4)]
    host.run(1.0)
    late = host.join("a", 0.5, 1.0, of=GPU)
    host.finish()
    starts = [job.started for job in (*jobs, late)]
    assert starts == [0.0, 1.0, 2.0, 3.0, 4.0]


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.1, 9)), min_size=1, max_size=60),
)
def test_never_more_run_than_there_are_devices_and_each_tenants_go_by_age(
    devices: int, wanted: list[tuple[str, float]]
) -> None:
    host = crowd(devices)
    jobs: list[Job] = []
    for number, (tenant, length) in enumerate(wanted):
        jobs.append(host.join(tenant, 0.01, length, of=GPU))
        host.run(host.time + 0.3 * (number % 3))
        assert len(host.devices.holders) <= devices
        assert len(set(host.devices.holders)) == len(host.devices.holders)
    host.finish()
    assert host.devices == Counted(devices)
    assert host.scheduler.ledger.idle
    for tenant in "abc":
        starts = [job.started for job in jobs if job.task.tenant == tenant]
        assert None not in starts
        assert starts == sorted(starts)  # type: ignore[type-var] # none of them is None
