"""The guard of the host's GPUs, on the fake and on lock files: one runner has a device, dead or
alive, and nobody else gets it before it was given back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runner.ports import Guard
from runner.storage.gpu_locks import GpuLocks
from tests.support.gpus import FakeGuard, Leases

Make = Callable[[str], Guard]


class Host:
    """`process` is a new process of the runner of that name; `forget` removes its state; `begin`
    lets something run of the attempt or container of that name, until `end`; `say_reset` is what a
    person does; `remove` takes the lock of a device away, and `wipe` its lease."""

    def __init__(
        self,
        make: Make,
        forget: Callable[[str], None],
        begin: Callable[[str], None],
        end: Callable[[str], None],
        say_reset: Callable[[str, float], None],
        *,
        remove: Callable[[str], None],
        wipe: Callable[[str], None],
    ) -> None:
        self._make, self.forget, self.begin, self.end = make, forget, begin, end
        self.say_reset, self.remove, self.wipe = say_reset, remove, wipe
        self._made: list[Guard] = []

    def process(self, runner: str) -> Guard:
        self._made.append(self._make(runner))
        return self._made[-1]

    def close(self) -> None:
        for guard in self._made:
            guard.close()


@pytest.fixture(params=["fake", "files"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    if request.param == "fake":
        leases = Leases()
        running = leases.running
        made = Host(
            lambda runner: FakeGuard(leases, runner),
            leases.gone.add,
            running.add,
            running.remove,
            leases.resets.__setitem__,
            remove=leases.remove,
            wipe=lambda uuid: leases.held.pop(uuid) and None,
        )
    else:
        processes: dict[str, subprocess.Popen[bytes]] = {}

        def files(runner: str) -> Guard:
            state = tmp_path / runner
            state.mkdir(exist_ok=True)
            locks = tmp_path / "run" / "gpus"
            return GpuLocks(locks, boot_id="boot-1", runner=runner, state=state)

        def begin(name: str) -> None:
            # by its command line, as an engine's own helpers are known
            processes[name] = subprocess.Popen(["cat", "-", name], stdin=subprocess.PIPE)

        def end(name: str) -> None:
            with processes.pop(name) as process:
                process.kill()

        def say_reset(uuid: str, when: float) -> None:
            path = tmp_path / "run" / "gpus" / f"{uuid}.reset"
            path.touch()
            os.utime(path, (when, when))

        def lock(uuid: str) -> Path:
            return tmp_path / "run" / "gpus" / f"{uuid}.lock"

        made = Host(
            files,
            lambda runner: (tmp_path / runner).rmdir(),
            begin,
            end,
            say_reset,
            remove=lambda uuid: lock(uuid).unlink(),
            wipe=lambda uuid: os.truncate(lock(uuid), 0),
        )
    yield made
    made.close()


def test_one_has_it_and_the_other_is_told_why_it_has_not(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    assert one.take("GPU-a", "er-1") == ""
    assert one.other("GPU-a") == ""
    assert "another runner of this host" in other.take("GPU-a", "er-2")
    assert "another runner of this host" in other.other("GPU-a")
    assert other.take("GPU-b", "er-2") == ""


def test_to_ask_takes_nothing(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    assert one.other("GPU-a") == ""
    assert other.take("GPU-a", "er-1") == ""


async def test_of_many_those_are_told_that_others_have(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    other.take("GPU-b", "er-2")
    told = await other.others(["GPU-a", "GPU-b", "GPU-c"])
    assert told == {"GPU-a": other.other("GPU-a")}


def test_what_is_given_back_is_for_whoever_comes_first(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    one.give_back("GPU-a")
    one.give_back("GPU-a")
    assert other.other("GPU-a") == ""
    assert other.take("GPU-a", "er-2") == ""
    assert one.take("GPU-a", "er-3") != ""


def test_who_has_it_may_take_it_again(host: Host) -> None:
    one = host.process("one")
    assert one.take("GPU-a", "er-1") == ""
    assert one.take("GPU-a", "er-2") == ""
    one.give_back("GPU-a")
    assert host.process("other").take("GPU-a", "er-1") == ""


def test_a_lease_outlives_its_process_and_the_next_one_goes_on_with_it(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    one.close()
    assert "another runner of this host" in other.other("GPU-a")
    assert "another runner of this host" in other.take("GPU-a", "er-2")
    again = host.process("one")
    assert again.left() == ["GPU-a"]
    assert again.other("GPU-a") == ""
    assert again.take("GPU-a", "er-1") == ""
    assert again.left() == []
    again.give_back("GPU-a")
    assert other.take("GPU-a", "er-2") == ""


def test_what_an_earlier_process_left_can_be_given_back_without_being_taken(host: Host) -> None:
    one = host.process("one")
    one.take("GPU-a", "er-1")
    one.close()
    again = host.process("one")
    again.give_back("GPU-a")
    assert again.left() == []
    assert host.process("other").take("GPU-a", "er-2") == ""


def test_nobody_gives_back_what_another_has(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    other.give_back("GPU-a")
    assert other.take("GPU-a", "er-2") != ""
    assert other.left() == []


def test_a_lease_of_a_runner_that_lives_stands_whatever_became_of_its_state(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    host.forget("one")
    assert other.take("GPU-a", "er-2") != ""


def test_a_lease_of_a_dead_runner_without_state_is_void(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-0123456789-7")
    one.close()
    host.forget("one")
    assert other.other("GPU-a") == ""
    assert other.take("GPU-a", "er-2") == ""
    assert other.left() == []


def test_what_runs_on_of_a_runner_that_nobody_starts_again_keeps_its_device(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-0123456789-1")
    one.close()
    host.forget("one")
    host.begin("er-0123456789-1")
    assert "another runner of this host" in other.other("GPU-a")
    assert "er-0123456789-1" in other.take("GPU-a", "er-2")
    host.end("er-0123456789-1")
    assert other.other("GPU-a") == ""
    assert other.take("GPU-a", "er-2") == ""


def test_its_container_keeps_it_too_by_whichever_name_the_engine_knows_it(host: Host) -> None:
    one, other, container = host.process("one"), host.process("other"), "c0ffee" * 10 + "c0de"
    one.launching("GPU-a", container)  # it has none: nothing comes of it
    one.take("GPU-a", "er-0123456789-1")
    one.launching("GPU-a", container)
    one.take("GPU-a", "er-0123456789-1")  # still the same attempt
    one.close()
    host.forget("one")
    host.begin(container)
    assert "another runner of this host" in other.take("GPU-a", "er-2")
    host.end(container)
    assert other.other("GPU-a") == ""
    assert other.take("GPU-a", "er-2") == ""
    other.close()
    host.forget("other")
    host.begin(container)  # which was the one before's
    assert one.other("GPU-a") == ""
    assert one.take("GPU-a", "er-0123456789-3") == ""
    host.end(container)


def test_when_a_device_was_reset_is_said_to_all_runners(host: Host) -> None:
    one, other = host.process("one"), host.process("other")
    assert one.reset("GPU-a") == 0
    one.take("GPU-a", "er-1")
    host.say_reset("GPU-a", 1_700_000_000.5)
    assert one.reset("GPU-a") == other.reset("GPU-a") == 1_700_000_000.5
    assert other.reset("GPU-b") == 0
    assert other.left() == []
    one.give_back("GPU-a")
    assert one.reset("GPU-a") == 1_700_000_000.5


def test_two_processes_of_one_runner_do_not_both_have_it(host: Host) -> None:
    one, same = host.process("one"), host.process("one")
    one.take("GPU-a", "er-1")
    assert same.take("GPU-a", "er-2") != ""


@pytest.mark.parametrize("how", ["remove", "wipe"])
def test_what_somebody_did_to_a_held_lock_is_told_once_and_put_right(host: Host, how: str) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    one.take("GPU-b", "er-2")
    assert one.amiss() == []
    getattr(host, how)("GPU-a")
    assert one.amiss("GPU-b") == one.amiss("GPU-c") == []
    (amiss,) = one.amiss()
    assert (amiss.uuid, amiss.problem) == ("GPU-a", "")
    assert amiss.what
    assert one.amiss() == other.amiss() == []
    assert "another runner of this host" in other.take("GPU-a", "er-3")
    one.close()
    assert "er-1" in other.take("GPU-a", "er-3")
    one.give_back("GPU-a")
    assert one.amiss() == []


def test_a_lock_that_another_took_once_it_was_removed_is_told_until_it_is_given_back(
    host: Host,
) -> None:
    one, other = host.process("one"), host.process("other")
    one.take("GPU-a", "er-1")
    host.remove("GPU-a")
    assert other.take("GPU-a", "er-2") == ""
    for _ in range(2):
        (amiss,) = one.amiss()
        assert "another runner of this host" in amiss.problem
    one.give_back("GPU-a")
    assert one.amiss() == other.amiss() == []
    assert "another runner of this host" in one.take("GPU-a", "er-3")
    other.give_back("GPU-a")
    assert one.take("GPU-a", "er-3") == ""
