"""The seams: what the engine needs of the world, as Protocols.

Each has one contract suite in `tests/contract`, which holds for the fake and for every real
implementation. Foreign exceptions stop behind these lines; only those named here come through.
"""

from __future__ import annotations

from runner.ports.executor import (
    ChecksGpus,
    Excerpt,
    Executor,
    Found,
    Launch,
    LaunchFailed,
    Readiness,
    Started,
    TellsBefore,
    always,
    unheard,
)
from runner.ports.gpus import Gpus, Look
from runner.ports.guard import Amiss, Guard
from runner.ports.journal import (
    Event,
    Journal,
    JournalBroken,
    JournalUnavailable,
    Query,
    Record,
    TaskKnown,
    Tombstone,
)
from runner.ports.output import OutputReader, OutputStore, Piece, Position
from runner.ports.world import Clock, Observer, Refusal, Secrets, SecretUnfit

__all__ = [
    "Amiss",
    "ChecksGpus",
    "Clock",
    "Event",
    "Excerpt",
    "Executor",
    "Found",
    "Gpus",
    "Guard",
    "Journal",
    "JournalBroken",
    "JournalUnavailable",
    "Launch",
    "LaunchFailed",
    "Look",
    "Observer",
    "OutputReader",
    "OutputStore",
    "Piece",
    "Position",
    "Query",
    "Readiness",
    "Record",
    "Refusal",
    "SecretUnfit",
    "Secrets",
    "Started",
    "TaskKnown",
    "TellsBefore",
    "Tombstone",
    "always",
    "unheard",
]
