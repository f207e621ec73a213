"""Who is next."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.fairness import PATIENCE, Answer, Lines

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG
PLACES = st.lists(st.tuples(st.sampled_from([SHORT, LONG]), st.sampled_from("abc")), max_size=30)


def offered(lines: Lines, answers: dict[str, Answer]) -> list[str]:
    """Who goes, where whoever is not in `answers` does."""
    gone = []

    def take(task_id: str) -> Answer:
        answer = answers.get(task_id, Answer.GONE)
        if answer is Answer.GONE:
            gone.append(task_id)
        return answer

    lines.offer(take)
    return gone


@given(PLACES, st.data())
def test_first_come_first_served_within_class_and_tenant(
    places: list[tuple[TaskClass, str]], data: st.DataObject
) -> None:
    lines = Lines()
    ages = list(range(len(places)))
    for age in data.draw(st.permutations(ages)):
        lines.join(str(age), *places[age], age)
    left = data.draw(st.sets(st.sampled_from(ages)) if ages else st.just(set()))
    for age in left:
        lines.leave(str(age))
    stuck = data.draw(st.sets(st.sampled_from(ages)) if ages else st.just(set()))
    gone = offered(lines, {str(age): Answer.NOT_IT for age in stuck})
    served: dict[tuple[TaskClass, str], list[int]] = defaultdict(list)
    for task_id in gone:
        served[places[int(task_id)]].append(int(task_id))
    for place, order in served.items():
        expected = []
        for age in ages:
            if places[age] == place and age not in left:
                if age in stuck:
                    break
                expected.append(age)
        assert order == expected
    assert gone == sorted(gone, key=int) or stuck
    assert len(lines) == len(places) - len(left) - len(gone)


def test_of_the_tenants_first_ones_the_oldest_goes() -> None:
    lines = Lines()
    for age, tenant in enumerate("aabb"):
        lines.join(f"{tenant}{age}", SHORT, tenant, age)
    assert offered(lines, {"a0": Answer.NOT_IT}) == ["b2", "b3"]
    assert offered(lines, {}) == ["a0", "a1"]


def test_a_full_class_does_not_hold_up_another() -> None:
    lines = Lines()
    lines.join("s1", SHORT, "a", 1)
    lines.join("s2", SHORT, "b", 2)
    lines.join("l3", LONG, "a", 3)
    assert offered(lines, {"s1": Answer.CLASS_FULL}) == ["l3"]
    assert "s2" in lines


def test_who_finds_no_room_is_passed_over_only_so_often() -> None:
    lines = Lines()
    lines.join("large", LONG, "a", 0)
    for age in range(1, 2 * PATIENCE):
        lines.join(str(age), SHORT, "a", age)
    answers = {"large": Answer.NO_ROOM}
    assert len(offered(lines, answers)) == PATIENCE
    assert offered(lines, answers) == []
    assert offered(lines, {})[0] == "large"


def test_a_place_can_be_taken_again_after_leaving() -> None:
    lines = Lines()
    lines.join("x", SHORT, "a", 5)
    lines.leave("x")
    lines.join("x", SHORT, "a", 5)
    lines.join("x", SHORT, "a", 5)
    assert offered(lines, {}) == ["x"]
    assert len(lines) == 0


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(0, 9), st.sampled_from("abc")),
        st.tuples(st.just("leave"), st.integers(0, 9), st.just("")),
        st.tuples(st.just("offer"), st.integers(0, 4), st.just("")),
    ),
    max_size=40,
)


@given(ACTIONS)
def test_over_many_rounds_it_is_as_if_each_time_all_were_sorted(
    actions: list[tuple[str, int, str]],
) -> None:
    lines, model = Lines(), dict[int, str]()
    for action, number, tenant in actions:
        if action == "join" and number not in model:
            model[number] = tenant
            lines.join(str(number), SHORT, tenant, number)
        elif action == "leave":
            model.pop(number, None)
            lines.leave(str(number))
        elif action == "offer":
            room = number
            gone: list[int] = []

            def take(task_id: str, room: int = room, gone: list[int] = gone) -> Answer:
                if len(gone) >= room:
                    return Answer.CLASS_FULL
                gone.append(int(task_id))
                return Answer.GONE

            lines.offer(take)
            assert gone == sorted(model)[:room]
            for age in gone:
                del model[age]
        assert len(lines) == len(model)
