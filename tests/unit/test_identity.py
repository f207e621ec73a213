"""Labels of a request; ids and classes are among the rows of abuse."""

from __future__ import annotations

import pytest

from runner.domain.identity import check_class, check_labels
from runner.domain.refusal import Refused
from runner.domain.task import TaskClass


def test_labels_of_the_protocols_form_are_taken() -> None:
    check_labels({})
    check_labels({f"team/{n}": "a.b_c-D" for n in range(32)})
    check_labels({"k" * 63: "v" * 63})


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ({f"k{n}": "v" for n in range(33)}, "OUT_OF_RANGE"),
        ({"k" * 64: "v"}, "BAD_NAME"),
        ({"k": ""}, "BAD_NAME"),
        ({"": "v"}, "BAD_NAME"),
        ({"k": "a b"}, "BAD_NAME"),
        ({"k": "v\n"}, "BAD_NAME"),
        ({"k": "é"}, "BAD_NAME"),
    ],
)
def test_other_labels_are_refused_as_the_field_labels(labels: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused) as caught:
        check_labels(labels)
    assert caught.value.reason == reason
    assert [fault.field for fault in caught.value.violations] == ["labels"]


def test_a_class_is_known_by_its_name() -> None:
    assert [check_class(str(name)) for name in TaskClass] == list(TaskClass)
