"""Why a build failed, as a `Failure` with a sentence for a person: of the build's end, and of what
uv said last."""

from __future__ import annotations

import re

from runner.domain.exit import Exit, Stopped
from runner.domain.failure import Failure, Fault, Reason
from runner.domain.limits import size_text
from runner.environments.values import Settings

_UV_SAYS_NO = 1
"""Its code where it did what it was asked, and the answer is no: another try gets the same. Others
are of the network and the host."""

_NOT_LET_IN = re.compile("could not be queried due to|returned a 403 Forbidden error")
"""Hints of uv's where an index refused the runner, which it takes for a no as well."""

_TAIL = 4096  # bytes
_SAID = 1000  # characters
_SIGNS = ("error: ", "cause: ", "  × ", "  ╰─▶ ", "hint: ")  # noqa: RUF001 - as uv writes them


class BuildFailed(Exception):
    """There is no environment. `log` is what the build said, fit to be shown."""

    def __init__(self, failure: Failure, log: bytes = b"") -> None:
        super().__init__(failure.message)
        self.failure, self.log = failure, log


def of_end(end: Exit, log: str, settings: Settings) -> BuildFailed:
    """Of a build that ended without what it was to make."""
    text, fault = _why(end, log, settings)
    return failed(text, log, fault)


def failed(text: str, log: str = "", fault: Fault = Fault.SYSTEM) -> BuildFailed:
    """For that reason, a clause; the system's faults may be gone another time."""
    failure = Failure(
        Reason.ENVIRONMENT,
        f"the python environment could not be built: {text}",
        fault,
        retryable=fault is Fault.SYSTEM,
        stderr_tail=log.encode()[-_TAIL:].decode(errors="ignore"),
    )
    return BuildFailed(failure, log.encode())


def _why(end: Exit, log: str, settings: Settings) -> tuple[str, Fault]:
    if end.stopped is Stopped.WALL_TIME:
        return f"it did not end within {settings.timeout:g} s (python.build_timeout)", Fault.SYSTEM
    if end.lost:
        return end.lost, Fault.SYSTEM
    if end.usage.oom_kills:
        limit = size_text(settings.memory)
        return f"it needed more memory than {limit} (python.build_memory)", Fault.TASK
    if end.disk_full:
        limit = size_text(settings.disk)
        return f"it needed more room than {limit} (python.build_disk)", Fault.TASK
    if end.kept.stdout_bytes < end.usage.stdout_bytes:
        return f"it is larger than {size_text(settings.size)} (python.size)", Fault.TASK
    if end.code is None:
        return f"signal {end.signal} ended it", Fault.SYSTEM
    said = last_words(log)
    if end.code == _UV_SAYS_NO and not _NOT_LET_IN.search(said):
        return said or f"it exited with code {end.code}", Fault.TASK
    return said or f"it exited with code {end.code}", Fault.SYSTEM


def last_words(log: str) -> str:
    """What uv said of its failure, in one line: from its last line that begins with `error:`."""
    lines = log.rstrip().splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith("error:")]
    words = [_plain(line) for line in lines[at[-1] if at else -3 :]]
    return " ".join(filter(None, words))[:_SAID]


def _plain(line: str) -> str:
    for sign in _SIGNS:
        line = line.strip().removeprefix(sign.strip())
    return " ".join(line.split())
