"""Messages that are made once for all who are told the same."""

from __future__ import annotations

from runner.edges.rpc.lately import Lately
from supervisor.v1 import supervisor_pb2 as v1


class Made:
    """Makes messages, and counts how often."""

    def __init__(self, most: int) -> None:
        self.lately: Lately[list[str], v1.Plan] = Lately(most)
        self.count = 0

    def of(self, argv: list[str]) -> v1.Plan:
        def make() -> v1.Plan:
            self.count += 1
            return v1.Plan(argv=argv)

        return self.lately.of(argv, make)


def test_a_message_is_made_once_for_the_same_value() -> None:
    made = Made(2)
    argv = ["true"]
    assert made.of(argv) is made.of(argv)
    assert made.count == 1
    assert made.of(list(argv)) == made.of(argv)  # equal, and another
    assert made.count == 2


def test_the_oldest_goes_first() -> None:
    made = Made(2)
    values = [[str(number)] for number in range(3)]
    for argv in values:
        assert made.of(argv).argv == argv
    made.of(values[2])
    made.of(values[1])
    assert made.count == 3
    made.of(values[0])
    assert made.count == 4


def test_large_messages_are_made_anew() -> None:
    made = Made(2)
    argv = ["x" * 10_000]
    assert made.of(argv) == made.of(argv)
    assert made.count == 2
