"""What the keeper says of a launch that failed, as a `Failure` with a sentence for a person."""

from __future__ import annotations

import errno
import os

from runner.domain.failure import Failure, Fault, Reason
from runner.domain.limits import size_text
from runner.domain.refusal import quote
from runner.executors.local.mounts import REMEDY
from runner.ports import Launch

_SYSTEM = {
    errno.EAGAIN,
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EROFS,
}
"""What the host lacks, wherever it turns up: another try may end otherwise."""

_MOUNTS = "(see --mounts)"
"""In what a keeper says of a path that it was not started with."""

_OF_THE_PROGRAM = {"exec", "interpreter"}
_OF_THE_TASK = {*_OF_THE_PROGRAM, "working_dir", "mounts"}


def of_start(request: Launch, stage: str, number: int, said: str = "") -> Failure:
    """Why the program was not started; `stage`, errno and what was `said` are the keeper's."""
    if stage == "memory":  # the kernel killed what was starting, for the task's own limit
        limit, strict = size_text(request.plan.limits.memory_bytes), request.plan.level == "strict"
        start = "its sandbox needs to start" if strict else "its program needs to start"
        text = f"its memory of {limit} is less than {start}"
        return Failure(Reason.OUT_OF_MEMORY, text, Fault.TASK)
    if stage not in _OF_THE_TASK or number in _SYSTEM:
        text = f"the host could not start the task ({stage}: {said or os.strerror(number)})"
        return Failure(Reason.EXECUTOR, text, Fault.SYSTEM, retryable=True)
    sentence = _sentence(request, stage, number)
    if request.interpreter and stage in _OF_THE_PROGRAM and number != errno.E2BIG:
        # the runner's own choice: it was there when it was asked for its version
        text = f"its interpreter is not to be had: {sentence} (see python.interpreters)"
        return Failure(Reason.EXECUTOR, text, Fault.SYSTEM, retryable=True)
    return Failure(Reason.START, sentence, Fault.TASK)


def _sentence(request: Launch, stage: str, number: int) -> str:
    word = request.interpreter or request.plan.argv[0]
    if stage == "working_dir":
        directory = quote(request.plan.working_dir)
        return f"the working directory {directory} cannot be used: {os.strerror(number)}"
    if stage == "mounts":
        sources = ", ".join(quote(mount.source) for mount in request.plan.mounts)
        return f"what it wants mounted ({sources}) cannot be had: {os.strerror(number)}"
    program = f"cannot start {quote(word)}: "
    if stage == "interpreter":
        return program + "the interpreter or loader that the file names is not there"
    if number == errno.ENOEXEC:
        return (
            program + "its format is none that this host executes "
            "(a script needs a first line such as #!/bin/sh)"
        )
    if number == errno.ENOENT and "/" not in word:
        path = quote(request.environment.get("PATH", ""))
        return program + f"no such program on PATH ({path})"
    if number == errno.ENOENT:
        where = " in the sandbox" if request.plan.level == "strict" else ""
        return program + f"there is no such file{where}"
    if number == errno.EACCES:
        return program + "it is not executable for the user that the task runs as"
    if number == errno.E2BIG:
        return program + "its arguments and environment are larger than the host takes"
    return program + os.strerror(number)


def of_keeper(message: str) -> Failure:
    """The keeper could not be asked, or did not do it; nothing was started."""
    remedy = f": {REMEDY}" if _MOUNTS in message else ""
    text = f"the keeper could not start the task: {message}{remedy}"
    return Failure(Reason.EXECUTOR, text, Fault.SYSTEM, retryable=True)
