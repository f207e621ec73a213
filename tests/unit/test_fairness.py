"""Who is next."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.task import TaskClass
from runner.planning.fairness import LOOKS, PATIENCE, Answer, Lines

SHORT, LONG = TaskClass.CPU_SHORT, TaskClass.CPU_LONG
PLACES = st.lists(st.tuples(st.sampled_from([SHORT, LONG]), st.sampled_from("abc")), max_size=30)


def start(lines: Lines) -> str:
    """Who is next, where only one may go."""
    gone: list[str] = []

    def take(task_id: str, _due: object) -> Answer:
        if gone:
            return Answer.CLASS_FULL
        gone.append(task_id)
        return Answer.GONE

    lines.offer(take)
    return gone[0]


def offered(lines: Lines, answers: dict[str, Answer]) -> list[str]:
    """Who goes, where whoever is not in `answers` does."""
    gone = []

    def take(task_id: str, _due: object) -> Answer:
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
    for place in set(places):
        expected = []
        for age in ages:
            if places[age] == place and age not in left:
                if age in stuck:
                    break
                expected.append(age)
        assert served[place] == expected
    assert len(lines) == len(places) - len(left) - len(gone)


def test_tenants_take_turns_and_the_oldest_begins() -> None:
    lines = Lines()
    for age, tenant in enumerate("aaabbc"):
        lines.join(f"{tenant}{age}", SHORT, tenant, age)
    assert offered(lines, {}) == ["a0", "b3", "c5", "a1", "b4", "a2"]


def test_a_flood_delays_another_tenants_first_task_by_one_start_at_most() -> None:
    lines = Lines()
    for age in range(10_000):
        lines.join(f"a{age}", SHORT, "a", age)
    for _ in range(50):
        start(lines)
    lines.join("b", SHORT, "b", 10_000)
    assert "b" in [start(lines), start(lines)]


def test_starts_are_shared_by_weight() -> None:
    weights = {"a": 1.0, "b": 3.0}
    lines = Lines(lambda _, tenant: 1 / weights[tenant])
    for age in range(200):
        lines.join(f"{'ab'[age % 2]}{age}", SHORT, "ab"[age % 2], age)
    first = [start(lines)[0] for _ in range(80)]
    assert (first.count("a"), first.count("b")) == (20, 60)
    weights |= {"a": 1.0, "b": 1.0}
    after = [start(lines)[0] for _ in range(40)]
    assert abs(after.count("a") - after.count("b")) <= 2


def test_a_flood_in_one_class_does_not_hold_up_another_class_that_needs_the_same_host() -> None:
    lines = Lines()
    for age in range(1000):
        lines.join(f"s{age}", SHORT, "a", age)
    lines.join("l", LONG, "b", 1000)
    assert "l" in [start(lines), start(lines)]


def test_of_many_tenants_only_so_many_are_asked_where_room_is_lacking() -> None:
    lines = Lines()
    for age in range(10 * LOOKS):
        lines.join(str(age), SHORT, f"t{age}", age)
    asked: list[str] = []

    def take(task_id: str, _due: object) -> Answer:
        asked.append(task_id)
        return Answer.NO_ROOM

    lines.offer(take)
    assert asked == [str(age) for age in range(LOOKS)]
    assert len(offered(lines, {})) == 10 * LOOKS


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


def test_behind_one_for_which_others_are_held_back_only_so_many_tenants_are_asked() -> None:
    lines = Lines()
    for age in range(10 * LOOKS):
        lines.join(str(age), SHORT, f"t{age}", age)
    asked: list[str] = []

    def take(task_id: str, _due: object) -> Answer:
        asked.append(task_id)
        return Answer.HOLDS if len(asked) == 1 else Answer.HELD

    lines.offer(take)
    assert asked == [str(age) for age in range(LOOKS)]
    assert len(offered(lines, {})) == 10 * LOOKS


def test_while_others_are_held_back_for_one_it_stays_the_turn_of_its_class() -> None:
    lines = Lines()
    lines.join("long", LONG, "a", 0)
    for age in (1, 2):
        lines.join(f"short{age}", SHORT, "b", age)
    assert start(lines) == "long"
    lines.join("large", LONG, "c", 3)
    assert start(lines) == "short1"
    first: list[str] = []

    def take(task_id: str, _due: object) -> Answer:
        first.append(task_id)
        return Answer.HOLDS if task_id == "large" else Answer.HELD

    lines.offer(take)
    lines.leave("short2")
    lines.join("other", TaskClass.GPU, "d", 4)
    assert start(lines) == "large"


def test_one_is_due_unless_it_is_over_its_share_and_another_could_not_go_before_it() -> None:
    lines = Lines()
    for age, tenant in enumerate("aab"):
        lines.join(f"{tenant}{age}", SHORT, tenant, age)
    assert start(lines) == "a0"
    told: dict[str, bool] = {}

    def take(task_id: str, due: bool) -> Answer:  # noqa: FBT001 - see fairness.Take
        told[task_id] = due
        return Answer.NOT_IT

    lines.offer(take)
    assert told == {"b2": True, "a1": False}


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
    lines, model = Lines(lambda _, tenant: 1 / WEIGHTS[tenant]), Model()
    for action, number, tenant in actions:
        if action == "join":
            model.join(number, tenant)
            lines.join(str(number), SHORT, model.waiting[number], number)
        elif action == "leave":
            model.leave(number)
            lines.leave(str(number))
        else:
            gone: list[int] = []

            def take(
                task_id: str, _due: object, room: int = number, gone: list[int] = gone
            ) -> Answer:
                if len(gone) >= room:
                    return Answer.CLASS_FULL
                gone.append(int(task_id))
                return Answer.GONE

            lines.offer(take)
            assert gone == model.starts(number)
        assert len(lines) == len(model.waiting)


WEIGHTS = {"a": 1.0, "b": 2.0, "c": 0.5}


class Model:
    """The same in a few slow lines: tags by tenant, and everybody sorted each time."""

    def __init__(self) -> None:
        self.waiting: dict[int, str] = {}
        self.tags: dict[str, float] = {}
        self.now = 0.0

    def join(self, age: int, tenant: str) -> None:
        if age in self.waiting:
            return
        if tenant not in self.waiting.values():
            self.tags[tenant] = max(self.tags.get(tenant, 0.0), self.now)
        self.waiting[age] = tenant

    def leave(self, age: int) -> None:
        self.waiting.pop(age, None)
        if not self.waiting:
            self.tags, self.now = {}, 0.0

    def starts(self, most: int) -> list[int]:
        gone: list[int] = []
        while self.waiting and len(gone) < most:
            age = min(self.waiting, key=lambda each: (self.tags[self.waiting[each]], each))
            tenant = self.waiting[age]
            self.now = max(self.now, self.tags[tenant])
            self.tags[tenant] += 1 / WEIGHTS[tenant]
            gone.append(age)
            self.leave(age)
        return gone
