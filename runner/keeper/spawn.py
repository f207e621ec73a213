"""Starts a program: fork, and all that the child does between fork and exec. No shell.

The child tells its first error over a pipe that exec closes: nothing read is success. What
runs in the child must be plain: one thread, nothing shared, nothing imported (it may be in
another mount namespace by then), and it ends in exec or _exit.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import signal
from collections.abc import Callable, Sequence
from typing import NoReturn

from runner.keeper import syscalls

_UMASK = 0o022
FILES_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)
"""As the keeper was started with; it raises its own soft limit, its tasks get the first one."""

_NO_CORE = (0, 0)
_LEAST_HIGHEST = 40  # CAP_CHECKPOINT_RESTORE, where the kernel's word cannot be had

User = tuple[int, int]
Rlimits = Sequence[tuple[int, int]]
"""Limits as `setrlimit` takes them, soft and hard alike: RLIMIT_… and the amount."""

Stage = list[str]
"""One word: what a child is at, for when that fails."""


class Program:
    """What to start. `stdio` are three descriptors; `directory` is an open one, or an absolute
    path where the program is to enter a sandbox; `user` is uid and gid, None for the keeper's own.
    `confined`: it can gain no privileges, has no capabilities, and `calls`, a program of
    `seccomp.py`, says which system calls it may use (empty: any). `rlimits` are limits of each
    process alone.
    """

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        directory: int | str,
        stdio: tuple[int, int, int],
        user: User | None,
        *,
        confined: bool = False,
        calls: bytes = b"",
        rlimits: Rlimits = (),
    ) -> None:
        self.argv = [word.encode() for word in argv]
        self.env = {key.encode(): value.encode() for key, value in env.items()}
        self.directory = directory
        self.stdio = stdio
        self.user = user
        self.confined = confined
        self.calls = calls
        self.rlimits = rlimits


_protected = False
_highest_capability = _LEAST_HIGHEST


def begin() -> None:
    """Make this process one whose children need little set right, since all that a child
    touches before its exec has to be copied for it. Once, before the first `start`."""
    global _protected, _highest_capability  # noqa: PLW0603 - of the process, as all set here
    for number in signal.valid_signals():
        # Exec resets handlers, but leaves ignored what is: Python's SIGPIPE, nohup's SIGHUP.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with open("/proc/self/oom_score_adj") as file:
        _protected = int(file.read()) != 0
    with contextlib.suppress(OSError), open("/proc/sys/kernel/cap_last_cap") as file:
        _highest_capability = int(file.read())


def _nothing(_number: int, _frame: object) -> None:
    """What a signal does that was ignored."""


def start(program: Program, cgroup: int | None, joined: Sequence[int] = ()) -> tuple[int, int]:
    """Fork, into an open cgroup where there is one and by a `0` into each of the files
    `joined`. Returns the pid and the reading end of the error pipe (non-blocking); see
    `problem`. Raises OSError where no fork was had."""
    reading, writing = error_pipe()
    try:
        pid = fork(cgroup)
        if pid == 0:
            run(writing, lambda stage: _child(program, joined, stage))
    except OSError:
        os.close(reading)
        raise
    finally:
        os.close(writing)
    return pid, reading


def problem(reading: int) -> tuple[str, int] | None:
    """The stage and errno of what went wrong in the child; None where it was started.

    Raises BlockingIOError while it is on its way.
    """
    data = os.read(reading, 64)
    if not data:
        return None
    stage, _, number = data.decode("ascii").partition(":")
    return stage, int(number)


# --- what the ways of starting share (sandbox.py, entering.py) ------------------------------


def error_pipe() -> tuple[int, int]:
    """The reading and the writing end for `run`. Nothing else leaves this process by an exec."""
    ends = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    syscalls.close_on_exec_from(3)
    return ends


def fork(cgroup: int | None) -> int:
    """Fork, into an open cgroup where there is one (None or negative: none)."""
    return os.fork() if cgroup is None or cgroup < 0 else syscalls.clone_into(cgroup)


def run(writing: int, steps: Callable[[Stage], object]) -> NoReturn:
    """All that a child does. The steps end in exec; what they raise is told."""
    gc.disable()
    signal.set_wakeup_fd(-1)  # the keeper's; by that number something else may come to be open
    stage = ["session"]
    try:
        steps(stage)
    except Exception as error:  # noqa: BLE001 - whatever it is, the program was not started
        number = getattr(error, "errno", None) or errno.EINVAL
        with contextlib.suppress(OSError):  # nobody is there to be told
            os.write(writing, f"{stage[0]}:{number}".encode())
    finally:
        os._exit(127)


def join(files: Sequence[int], stage: Stage) -> None:
    """Go into the groups of the old hierarchies, and be protected like any program."""
    stage[0] = "cgroup"
    for file in files:
        os.write(file, b"0")
    if _protected:  # what protects or exposes the keeper is not its tasks'
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        with contextlib.suppress(PermissionError):  # somebody with more privilege exposed it
            os.write(file, b"0")


def set_limits(stage: Stage, more: Rlimits = ()) -> None:
    """What every program of a task starts with."""
    stage[0] = "limits"
    resource.setrlimit(resource.RLIMIT_CORE, _NO_CORE)
    resource.setrlimit(resource.RLIMIT_NOFILE, FILES_LIMIT)
    lower_limits(more)
    os.umask(_UMASK)


def lower_limits(more: Rlimits) -> None:
    """Set limits of this process that are lower than those it has. Raises OSError."""
    for kind, amount in more:
        _, most = resource.getrlimit(kind)
        least = amount if most == resource.RLIM_INFINITY else min(amount, most)
        resource.setrlimit(kind, (least, least))


def become(user: User | None, stage: Stage) -> None:
    """Be that user for good; the groups of root go too."""
    if user is None:
        return
    stage[0] = "user"
    uid, gid = user
    if os.geteuid() == 0:
        os.setgroups(())
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def take_stdio(program: Program, stage: Stage) -> None:
    """Make the program's three descriptors its standard streams."""
    stage[0] = "stdio"
    for target, source in enumerate(program.stdio):
        os.dup2(source, target)


def bound_capabilities(stage: Stage) -> None:
    """Give up for good what this process could gain again. Where it may not do that,
    no_new_privs alone has to keep it from gaining."""
    stage[0] = "privileges"
    with contextlib.suppress(PermissionError):
        syscalls.bound_capabilities(_highest_capability)


def confine(program: Program, stage: Stage) -> None:
    """The last thing before exec: what is given up here, exec brings back no more."""
    stage[0] = "privileges"
    syscalls.gain_nothing_by_exec()
    syscalls.drop_capabilities()
    if program.calls:
        syscalls.filter_calls(program.calls)


def execute(program: Program, stage: Stage) -> None:
    """Execvp by the task's own PATH and as its user, but a script without a first line that
    names its interpreter is not given to a shell. Raises OSError."""
    stage[0] = "exec"
    word = program.argv[0]
    if b"/" in word:
        _exec(word, program, stage)
    denied = False
    for directory in program.env.get(b"PATH", b"").split(b":"):
        try:
            _exec(os.path.join(directory or b".", word), program, stage)
        except PermissionError:
            denied = True
        except (FileNotFoundError, NotADirectoryError):
            if stage[0] == "interpreter":
                raise
    raise OSError(errno.EACCES if denied else errno.ENOENT, "")


def _exec(path: bytes, program: Program, stage: Stage) -> None:
    try:
        os.execve(path, program.argv, program.env)
    except FileNotFoundError:
        if os.path.exists(path):  # then it is the file's loader or interpreter that is missing
            stage[0] = "interpreter"
        raise


def _child(program: Program, joined: Sequence[int], stage: Stage) -> None:
    os.setsid()
    join(joined, stage)
    take_stdio(program, stage)
    set_limits(stage, program.rlimits)
    if program.confined:
        bound_capabilities(stage)  # as root: no other user may
    become(program.user, stage)
    stage[0] = "working_dir"
    os.chdir(program.directory)
    if program.confined:
        confine(program, stage)
    execute(program, stage)
