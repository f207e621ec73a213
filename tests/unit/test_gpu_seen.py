"""What is remembered of devices from one look to the next, whatever they do."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.gpu import Gpu
from runner.telemetry import gpu_xids
from runner.telemetry.gpu_answer import Answer, Event, Silent, decode, encode
from runner.telemetry.gpu_seen import Seen

UUIDS = [f"GPU-{letter}" for letter in "abcd"]
XIDS = [13, 31, 48, 63, 79, 95, 500]

uuids = st.sampled_from(UUIDS)
events = st.lists(st.builds(Event, uuids | st.just(""), st.sampled_from(XIDS)), max_size=3)


loads = st.sampled_from(["", "1", "2"])


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """Each device tells of itself, or does not, or is not there; indexes are in any order."""
    order = draw(st.permutations(UUIDS))
    told, silent = [], []
    for index, uuid in enumerate(order):
        match draw(st.sampled_from(["well", "mute", "gone", "worn"])):
            case "well":
                told.append(Gpu(uuid, index, f"name of {uuid}", UUIDS.index(uuid), 100, 7))
            case "worn":
                told.append(Gpu(uuid, index, f"name of {uuid}", 0, 100, problem="worn"))
            case "mute":
                place, lost = draw(st.sampled_from([-1, index])), draw(st.booleans())
                silent.append(Silent(place, "no answer", uuid, lost))
            case _:
                pass
    return Answer(tuple(told), "", "1", tuple(silent), tuple(draw(events)))


@given(st.lists(answers() | loads, max_size=12))
def test_every_device_ever_seen_is_told_of_once_and_as_itself(steps: list[Answer | str]) -> None:
    seen, ever = Seen(), set()
    for answer in steps:
        if isinstance(answer, str):
            seen.loaded(answer)
            continue
        devices = seen.take(answer)
        there = {each.uuid: each for each in answer.devices}
        ever |= there.keys() | {each.uuid for each in answer.silent}
        assert sorted(each.uuid for each in devices) == sorted(ever)
        for each in devices:
            told = there.get(each.uuid)
            if told is None:
                assert each.problem
                assert each.processes is None
                assert each.memory_used == each.utilization == -1
                plain = {mute.uuid for mute in answer.silent if mute.lost}
                assert each.doubtful is (each.uuid not in plain and "Xid" not in each.problem)
            else:
                assert replace(each, problem="", thrown=False) == replace(told, problem="")
                assert not each.doubtful
                assert not each.away
            assert each.name in ("", f"name of {each.uuid}")


@given(st.lists(answers(), min_size=1, max_size=12))
def test_a_fatal_error_stands_for_as_long_as_its_device_is_there(steps: list[Answer]) -> None:
    seen = Seen()
    faulty: set[str] = set()
    away: set[str] = set()  # by the driver's own word: what does not answer may be there
    known: set[str] = set()
    for answer in steps:
        there = {each.uuid for each in answer.devices}
        faulty -= away & there
        away = (away | {each.uuid for each in answer.silent if each.lost}) - there
        known |= {each.uuid for each in (*answer.devices, *answer.silent)}
        for event in answer.events:
            if gpu_xids.fatal(event.xid):
                faulty |= {event.uuid} if event.uuid else known
        for each in seen.take(answer):
            if each.uuid in there:
                assert bool(each.problem) == (
                    each.uuid in faulty
                    or "worn" in {d.problem for d in answer.devices if d.uuid == each.uuid}
                )
                assert each.thrown <= (each.uuid in faulty)
                assert each.thrown or each.problem in ("", "worn")
            elif each.uuid in {mute.uuid for mute in answer.silent if mute.lost}:
                assert (each.away, each.thrown) == (True, False)
            else:
                assert not each.away
                assert each.thrown is (each.uuid in faulty)
                if each.thrown:
                    assert each.problem.startswith("Xid ")
                    assert not each.doubtful


@given(st.lists(st.tuples(loads, st.booleans()), min_size=1, max_size=8))
def test_an_error_is_over_once_another_load_of_the_driver_answers_where_both_are_known(
    steps: list[tuple[str, bool]],
) -> None:
    seen, gpu = Seen(), Gpu("GPU-a")
    teller: str | None = None  # the load that told an error which stands
    for load, throws in steps:
        if teller and load and teller != load:
            teller = None
        if throws:
            teller = load
        seen.loaded(load)
        event = (Event(gpu.uuid, 48),) if throws else ()
        (told,) = seen.take(Answer((gpu,), "", "1", (), event))
        assert told.thrown is (teller is not None)


@given(st.lists(answers(), min_size=1, max_size=6), st.sampled_from(UUIDS))
def test_an_answer_of_one_device_says_of_the_others_but_their_errors(
    steps: list[Answer], uuid: str
) -> None:
    seen = Seen()
    for answer in steps:
        before = seen.take(answer)
        told = {each.uuid: each for each in before}
        others = Event(next(each for each in UUIDS if each != uuid), 79)
        one = replace(
            answer,
            devices=tuple(each for each in answer.devices if each.uuid == uuid),
            silent=tuple(each for each in answer.silent if each.uuid == uuid),
            events=(others,),
            of=uuid,
        )
        assert seen.take_one(one) == (
            told[uuid] if uuid in {each.uuid for each in (*one.devices, *one.silent)} else None
        )
        assert seen.devices == before
        again = {each.uuid: each for each in seen.take(replace(answer, events=()))}
        assert again.get(uuid) == told.get(uuid)
        if others.uuid in {each.uuid for each in answer.devices}:
            assert again[others.uuid].problem


@given(answers())
def test_an_answer_arrives_as_it_was_given(answer: Answer) -> None:
    assert decode(encode(answer)) == answer


def test_an_error_nobody_knows_is_held_against_the_device() -> None:
    assert gpu_xids.fatal(4711)
    assert gpu_xids.sentence(4711) == "Xid 4711: an error of the device"


def test_any_other_line_is_no_answer() -> None:
    for line in (b"", b"[]", b'{"devices": 1}', b'{"devices": [{"index": "x"}]}', b"\xff\n"):
        try:
            decode(line)
        except ValueError:
            continue
        raise AssertionError(line)
