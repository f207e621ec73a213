"""Which device may be leased, and what looks change: whatever devices do, none is had by two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runner.domain.gpu import Gpu
from runner.planning.doubts import LOOKS, SPAN
from runner.planning.fleet import (
    GONE,
    PATIENCE,
    Fleet,
    Freed,
    Lifted,
    Lost,
    News,
    Quarantined,
    Standing,
)
from runner.planning.gpus import IDLE_MEMORY, LOCKED, Held, free, in_full, obstacle, unclean
from tests.support.gpus import GIB, a_gpu

UUIDS = ("GPU-a", "GPU-b", "GPU-c")
BARRED: list[tuple[dict[str, Any], str]] = [
    ({"problem": "Xid 79"}, "Xid 79"),
    ({"processes": None}, "does not tell which processes"),
    ({"processes": (4711,)}, "a process that no task of this runner has is on it"),
    ({"processes": (7, 4711)}, "2 processes that no task of this runner has are on it"),
    ({"memory_used": 2 * GIB}, "of its memory are in use"),
    ({"memory_used": -1}, "does not tell how much of its memory"),
    ({"mig": True}, "it is cut into parts (MIG)"),
    ({"mig": None}, "does not tell whether it is cut into parts (MIG)"),
]
ANY_GPU = st.builds(
    a_gpu,
    st.sampled_from(UUIDS),
    problem=st.sampled_from(["", "", "Xid 79"]),
    doubtful=st.booleans(),
    mig=st.sampled_from([False, False, True, None]),
    processes=st.sampled_from([(), (), (7,), None]),
    memory_used=st.integers(0, 2 * IDLE_MEMORY),
)
SOME = st.dictionaries(st.sampled_from(UUIDS), st.just("why"))


@pytest.mark.parametrize(("changes", "words"), BARRED)
def test_a_device_that_is_not_clean_is_not_leased_and_says_why(
    changes: dict[str, Any], words: str
) -> None:
    gpu = a_gpu(**changes)
    assert words in obstacle(gpu, Held(), IDLE_MEMORY)
    assert free([gpu, a_gpu("GPU-b")], Held(), IDLE_MEMORY) == [a_gpu("GPU-b")]


def test_a_clean_one_is_held_back_by_who_has_it_by_quarantine_and_by_a_lock() -> None:
    gpu = a_gpu()
    for held in (
        Held(leases={"GPU-a": "t1"}),
        Held(quarantined={"GPU-a": "Xid 79"}),
        Held(returning={"GPU-a": 1.0}),
        Held(locked={"GPU-a": "another runner has it"}),
    ):
        assert obstacle(gpu, held, IDLE_MEMORY)
    assert not obstacle(gpu, Held(), IDLE_MEMORY)


def test_pids_and_who_has_a_lock_are_told_in_full_alone_and_have_a_bound() -> None:
    gpu = a_gpu(processes=tuple(range(1, 101)))
    why = obstacle(gpu, Held(), IDLE_MEMORY)
    assert why == "100 processes that no task of this runner has are on it"
    assert in_full(why, gpu, Held()).endswith(" on it (pids 1, 2, 3, 4, 5, 6, 7, 8 and 92 more)")
    assert in_full("a task has it", gpu, Held(leases={"GPU-a": "t1"})) == "a task has it"
    assert in_full("", gpu, Held(leases={"GPU-a": "t1"})) == ""
    held = Held(locked={"GPU-a": "a runner whose state is in /home/b has it"})
    why = obstacle(a_gpu(), held, IDLE_MEMORY)
    assert why == LOCKED
    assert in_full(why, a_gpu(), held) == "a runner whose state is in /home/b has it"


@given(st.lists(ANY_GPU, max_size=6, unique_by=lambda gpu: gpu.uuid), SOME, SOME, SOME)
def test_what_is_leased_is_whole_healthy_empty_and_nobodys(
    devices: list[Gpu], leases: dict[str, str], quarantined: dict[str, str], locked: dict[str, str]
) -> None:
    held = Held(leases=leases, quarantined=quarantined, locked=locked)
    for gpu in free(devices, held, IDLE_MEMORY):
        assert not gpu.problem
        assert gpu.mig is False
        assert gpu.processes == ()
        assert 0 <= gpu.memory_used < IDLE_MEMORY
        assert gpu.uuid not in {**leases, **quarantined, **locked}


def test_the_one_that_was_idle_longest_goes_first_and_one_that_was_lost_before_last() -> None:
    devices = [a_gpu(uuid) for uuid in UUIDS]
    held = Held(used={"GPU-a": 9.0, "GPU-b": 5.0})
    assert [gpu.uuid for gpu in free(devices, held, IDLE_MEMORY)] == ["GPU-c", "GPU-b", "GPU-a"]
    without = free(devices, held, IDLE_MEMORY, avoid={"GPU-c"})
    assert [gpu.uuid for gpu in without] == ["GPU-b", "GPU-a", "GPU-c"]


def seen(*devices: Gpu) -> Fleet:
    fleet = Fleet()
    assert fleet.see(devices or (a_gpu(),), 0.0) == []
    return fleet


def standing(fleet: Fleet, uuid: str = "GPU-a") -> Standing:
    return next(each for each in fleet.standing() if each.gpu.uuid == uuid)


def test_a_device_that_is_clean_after_its_task_is_free_at_the_next_look() -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    assert fleet.give_back("t1", 5.0) == ("GPU-a",)
    assert fleet.free() == []
    assert fleet.see([a_gpu()], 5.0) == [Freed("GPU-a")]
    assert [gpu.uuid for gpu in fleet.free()] == ["GPU-a"]


def test_a_look_from_before_its_task_ended_frees_nothing() -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    fleet.give_back("t1", 5.0)
    assert fleet.see([a_gpu()], 4.9) == []
    assert fleet.free() == []


@pytest.mark.parametrize(
    ("dirt", "pids"),
    [({"processes": (7, 9)}, (7, 9)), ({"memory_used": 2 * GIB}, ()), ({"processes": None}, ())],
)
def test_one_that_stays_unclean_is_quarantined_with_why_and_the_pids_until_it_is_clean(
    dirt: dict[str, Any], pids: tuple[int, ...]
) -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    fleet.give_back("t1", 5.0)
    unclean_one = a_gpu(**dirt)
    assert fleet.see([unclean_one], 5.0 + PATIENCE - 0.1) == []
    (told,) = fleet.see([unclean_one], 5.0 + PATIENCE)
    assert isinstance(told, Quarantined)
    assert (told.uuid, told.pids) == ("GPU-a", pids)
    assert "after its task had ended" in told.why
    assert not standing(fleet).healthy
    assert fleet.see([unclean_one], 99.0) == []
    assert fleet.free() == []
    assert fleet.see([a_gpu()], 100.0) == [Lifted("GPU-a")]
    assert fleet.free() == [a_gpu()]


@pytest.mark.parametrize("gone", [True, False])
def test_a_lost_device_ends_who_has_it_once_and_is_quarantined_until_it_is_healthy(
    gone: bool,  # noqa: FBT001 - a case
) -> None:
    fleet = seen(a_gpu(), a_gpu("GPU-b", 1))
    fleet.lease("t1", "GPU-a")
    fleet.lease("t2", "GPU-b")
    broken = [a_gpu(problem="Xid 79"), a_gpu("GPU-b", 1)]
    devices = [a_gpu("GPU-b", 0)] if gone else broken
    if gone:  # of which the driver says nothing, so that it has to be seen again
        assert fleet.see(devices, 1.0) == fleet.see(devices, 3.0) == []
    why = f"{GONE}, in 3 looks over 4 s" if gone else "Xid 79"
    assert fleet.see(devices, 5.0) == [Lost("t1", "GPU-a", why), Quarantined("GPU-a", why)]
    assert fleet.see(devices, 6.0) == []
    fleet.give_back("t1", 7.0)
    assert fleet.see(devices, 8.0) == []
    assert not standing(fleet).healthy
    assert standing(fleet).why == f"quarantined: {why}"
    assert fleet.whole == 2
    assert fleet.see([a_gpu(), a_gpu("GPU-b", 1)], 9.0) == [Lifted("GPU-a")]
    assert [gpu.uuid for gpu in fleet.free()] == ["GPU-a"]


UNANSWERED = a_gpu(problem="it does not answer: Timeout", doubtful=True)


@pytest.mark.parametrize("listed", [[UNANSWERED], []])
def test_a_task_does_not_end_for_a_call_that_failed_or_a_list_that_lacked_its_device(
    listed: list[Gpu],
) -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    for time in (5.0, 7.0, 11.0, 13.0):  # never three times in a row
        assert fleet.see(listed, time) == []
        assert fleet.doubted == {"GPU-a"}
        assert not fleet.fault("GPU-a")
        if time in (7.0, 13.0):
            assert fleet.see([a_gpu()], time + 2) == []
            assert fleet.doubted == frozenset()
    assert standing(fleet) == Standing(a_gpu(), healthy=True, task_id="t1")
    for _ in range(50):  # as often as one likes within the same moment
        assert fleet.see(listed, 20.0) == []


def test_what_is_in_doubt_is_not_leased_and_says_so_and_is_in_no_quarantine() -> None:
    fleet = seen()
    assert fleet.see([UNANSWERED], 5.0) == []
    assert fleet.free() == []
    assert fleet.quarantined == {}
    told = standing(fleet)
    assert not told.healthy
    assert told.why == (
        "it does not answer: Timeout; it is looked at again before it counts as lost"
    )
    assert fleet.see([a_gpu()], 7.0) == []
    assert fleet.free() == [a_gpu()]


def test_what_the_driver_says_of_the_device_itself_counts_at_once_though_it_was_in_doubt() -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    fleet.see([UNANSWERED], 5.0)
    lost = a_gpu(problem="GPU is lost")
    assert Lost("t1", "GPU-a", "GPU is lost") in fleet.see([lost], 5.1)


def test_a_device_that_nothing_of_its_task_was_on_is_free_as_it_was() -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    fleet.bar(a_gpu(processes=(7,)))
    assert fleet.put_back("t1") == ("GPU-a",)
    assert fleet.returning == frozenset()
    assert fleet.free() == []  # by what was seen since
    assert fleet.see([a_gpu()], 2.0) == []
    assert fleet.free() == [a_gpu()]


def test_a_device_that_comes_back_while_its_task_is_being_stopped_waits_for_that() -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    fleet.see([a_gpu(problem="GPU is lost")], 5.0)
    assert fleet.see([a_gpu()], 6.0) == []
    assert fleet.free() == []
    fleet.give_back("t1", 7.0)
    assert fleet.see([a_gpu()], 8.0) == [Lifted("GPU-a")]


def test_what_an_earlier_daemon_knew_counts_until_a_look_says_otherwise() -> None:
    fleet = Fleet()
    fleet.remember(a_gpu("GPU-a"), "it was lost")
    fleet.remember(a_gpu("GPU-b"))
    assert fleet.whole == 2
    assert fleet.free() == []  # nothing was seen yet
    assert fleet.see([a_gpu("GPU-b")], 1.0) == []
    assert not standing(fleet, "GPU-a").healthy
    assert fleet.see([a_gpu("GPU-a"), a_gpu("GPU-b")], 2.0) == [Lifted("GPU-a")]


def test_nobody_gets_what_somebody_has() -> None:
    fleet = seen()
    fleet.lease("t1", "GPU-a")
    with pytest.raises(ValueError, match="leased to task t1 already"):
        fleet.lease("t2", "GPU-a")


class Devices(RuleBasedStateMachine):
    """Devices that get dirty, fail, vanish and come back, under tasks that come and go."""

    @initialize()
    def begin(self) -> None:
        self.fleet, self.time, self.number = Fleet(), 0.0, 0
        self.devices = {uuid: a_gpu(uuid, number) for number, uuid in enumerate(UUIDS)}
        self.tasks: dict[str, str] = {}
        self.ended_at: dict[str, float] = {}
        self.bad: set[str] = set()  # with a problem, or gone, by the latest look
        self.looks: dict[str, list[tuple[float, bool]]] = {uuid: [] for uuid in UUIDS}
        self.look()

    @rule()
    def look(self) -> None:
        self.time += 1.0
        self.check(self.fleet.see(self.devices.values(), self.time))

    def check(self, news: list[News]) -> None:
        lost = [each for each in news if isinstance(each, Lost)]
        assert len({each.task_id for each in lost}) == len(lost)
        self.bad = {u for u in UUIDS if u not in self.devices or self.devices[u].problem}
        for uuid in UUIDS:
            gpu = self.devices.get(uuid)
            sure = gpu is not None and bool(gpu.problem) and not gpu.doubtful
            if uuid not in self.bad:
                self.looks[uuid] = []
            else:
                self.looks[uuid].append((self.time, sure))
        for told in lost:
            assert self.tasks[told.task_id] == told.uuid
            looks = self.looks[told.uuid]
            assert looks[-1][1] or (len(looks) >= LOOKS and looks[-1][0] - looks[0][0] >= SPAN)
        for freed in news:
            if isinstance(freed, Freed | Lifted):
                assert not unclean(self.devices[freed.uuid], IDLE_MEMORY)
                assert freed.uuid not in self.tasks.values()

    @rule(uuid=st.sampled_from(UUIDS), gpu=ANY_GPU)
    def change(self, uuid: str, gpu: Gpu) -> None:
        self.devices[uuid] = replace(gpu, uuid=uuid)

    @rule(uuid=st.sampled_from(UUIDS))
    def clean(self, uuid: str) -> None:
        self.devices[uuid] = a_gpu(uuid, UUIDS.index(uuid))

    @rule(uuid=st.sampled_from(UUIDS))
    def vanish(self, uuid: str) -> None:
        self.devices.pop(uuid, None)

    @precondition(lambda self: self.fleet.free())
    @rule()
    def lease(self) -> None:
        gpu = self.fleet.free()[0]
        self.number += 1
        self.fleet.lease(f"t{self.number}", gpu.uuid)
        assert gpu.uuid not in self.tasks.values(), "two tasks have one device"
        self.tasks[f"t{self.number}"] = gpu.uuid

    @precondition(lambda self: self.tasks)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        task_id = data.draw(st.sampled_from(sorted(self.tasks)))
        self.time += 1.0
        assert self.fleet.give_back(task_id, self.time) == (self.tasks[task_id],)
        del self.tasks[task_id]

    @rule()
    def restart(self) -> None:
        """Another daemon: what is stored, and the attempts that have not ended."""
        old, self.fleet = self.fleet, Fleet()
        for each in old.standing():
            self.fleet.remember(each.gpu, old.quarantined.get(each.gpu.uuid, ""))
        for task_id, uuid in self.tasks.items():
            self.fleet.lease(task_id, uuid)
        for uuid in old.returning:  # as the guard has it
            self.fleet.look_after(uuid, self.time)

    @invariant()
    def no_device_is_free_that_somebody_has_or_that_is_bad(self) -> None:
        free_ones = {gpu.uuid for gpu in self.fleet.free()}
        assert not free_ones & set(self.tasks.values())
        assert not free_ones & self.bad
        assert not free_ones & self.fleet.returning
        assert not free_ones & self.fleet.quarantined.keys()

    @invariant()
    def each_device_that_was_ever_seen_stands_once(self) -> None:
        found = self.fleet.standing()
        assert len({each.gpu.uuid for each in found}) == len(found)
        for each in found:
            holders = [name for name, uuid in self.tasks.items() if uuid == each.gpu.uuid]
            assert holders == ([each.task_id] if each.task_id else [])
            held = each.gpu.uuid in {gpu.uuid for gpu in self.fleet.free()}
            assert not (held and each.why)

    def teardown(self) -> None:
        """Whatever was, all is free again once all tasks ended and all devices are clean."""
        for task_id in list(self.tasks):
            self.fleet.give_back(task_id, self.time)
        self.tasks.clear()
        self.devices = {uuid: a_gpu(uuid, number) for number, uuid in enumerate(UUIDS)}
        self.look()
        assert len(self.fleet.free()) == len(UUIDS)
        assert all(each.healthy and not each.why for each in self.fleet.standing())


TestDevices = Devices.TestCase
TestDevices.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


def test_devices_that_are_told_to_have_one_node_are_given_to_nobody() -> None:
    fleet = Fleet()
    fleet.see([a_gpu("GPU-a", 0, minor=1), a_gpu("GPU-b", 1), a_gpu("GPU-c", 2)], 1.0)
    assert [gpu.uuid for gpu in fleet.free()] == ["GPU-c"]
    why = {each.gpu.uuid: each.why for each in fleet.standing()}
    assert why["GPU-a"] == "the driver tells the same device node for it and for another"
    assert (why["GPU-a"], why["GPU-c"]) == (why["GPU-b"], "")
    gone = a_gpu("GPU-a", -1, minor=1, problem=GONE, doubtful=True)  # its number may be another's
    fleet.see([gone, a_gpu("GPU-b", 0, minor=1), a_gpu("GPU-c", 1, minor=2)], 2.0)
    assert [gpu.uuid for gpu in fleet.free()] == ["GPU-b", "GPU-c"]
