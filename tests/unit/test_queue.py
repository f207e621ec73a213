"""How many tasks wait, and what they weigh."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runner.domain.plan import Artifact, Mount
from runner.domain.task import Task, TaskClass
from runner.engine.queue import USUAL, Queue, weigh
from tests.support.tasks import a_plan, a_task

TASKS = st.builds(
    lambda number, of, tenant, size: a_task(
        str(number), task_class=of, tenant=tenant, plan=a_plan(argv=("x" * size,))
    ),
    st.integers(0, 5),
    st.sampled_from(TaskClass),
    st.sampled_from("ab"),
    st.integers(0, 10_000),
)


@given(st.lists(st.tuples(st.booleans(), TASKS), max_size=30))
def test_it_counts_each_task_once_for_as_long_as_it_waits(steps: list[tuple[bool, Task]]) -> None:
    queue, model = Queue(), dict[str, Task]()
    for comes, drawn in steps:
        task = model.get(drawn.task_id, drawn)
        if comes:
            queue.add(task)
            model[task.task_id] = task
        else:
            queue.remove(task)
            model.pop(task.task_id, None)
        for task_class, count in Counter(each.task_class for each in model.values()).items():
            assert queue.of_class(task_class) == count
        for tenant, count in Counter(each.tenant for each in model.values()).items():
            assert queue.of_tenant(tenant) == count
        waits = {(each.task_class, each.tenant) for each in model.values()}
        for task_class in TaskClass:
            assert {each for each in "ab" if queue.has(task_class, each)} == {
                tenant for of, tenant in waits if of is task_class
            }
        assert queue.size == sum(max(weigh(each) - USUAL, 0) for each in model.values())


def test_whatever_a_payload_may_swell_is_weighed() -> None:
    small, much = weigh(a_task()), "x" * 100_000
    for large in (
        a_task(plan=a_plan(argv=("true", much))),
        a_task(plan=a_plan(env={"A": much})),
        a_task(plan=a_plan(env={much: "a"})),
        a_task(labels={"a": much}),
        a_task(plan=a_plan(outputs=(Artifact(much),))),
        a_task(plan=a_plan(inputs=(Artifact("a", uri=much),))),
        a_task(plan=a_plan(mounts=(Mount("/", much),))),
        a_task(plan=a_plan(secrets=(much,))),
    ):
        assert weigh(large) >= small + len(much)
    assert weigh(a_task(plan=a_plan(argv=("\U0001f600" * 1000,)))) >= 4000
    assert weigh(a_task(plan=a_plan(argv=tuple(str(n) for n in range(1000))))) >= 40_000
