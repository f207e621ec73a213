"""A process that commits task after task to a journal, and says which ones it was promised.

`python -m tests.support.committer DIRECTORY [LANES] [PATIENCE]` writes a line `ok ID SEQUENCE`
for each, `unavailable ID` or `broken` for what was not taken; after `broken` it ends with 3.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from runner.domain.task import EventType, State
from runner.ports import JournalBroken, JournalUnavailable
from runner.storage.journal import open_journal
from tests.support.journals import accepted, step


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # at once, and whole


async def main(directory: Path, lanes: int, patience: float) -> int:
    journal = await open_journal(directory, patience=patience)
    say("open")

    async def lane(number: int) -> None:
        count = 0
        while True:
            task_id = f"{number}-{journal.epoch}-{count}"
            count += 1
            try:
                task = await accepted(journal, task_id)
                say(f"ok {task_id} {task.sequence}")
                task = await step(journal, task, EventType.PREPARING, state=State.PREPARING)
                say(f"ok {task_id} {task.sequence}")
            except JournalUnavailable:
                say(f"unavailable {task_id}")

    try:
        await asyncio.gather(*(lane(number) for number in range(lanes)))
    except JournalBroken as error:
        say(f"broken {error}")
        await journal.close()
        return 3
    return 0


if __name__ == "__main__":
    directory, lanes, patience = [*sys.argv[1:], *("", "4", "5")[len(sys.argv) - 1 :]]
    sys.exit(asyncio.run(main(Path(directory), int(lanes), float(patience))))
