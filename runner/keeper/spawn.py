"""Starts a program: fork, and all that the child does between fork and exec. No shell.

The child tells its first error over a pipe that exec closes: nothing read is success. What
runs in the child must be plain: one thread, nothing shared, and it ends in exec or _exit.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import resource
import signal

from runner.keeper import syscalls

_UMASK = 0o022
FILES_LIMIT = resource.getrlimit(resource.RLIMIT_NOFILE)
"""As the keeper was started with; it raises its own soft limit, its tasks get the first one."""

_NO_CORE = (0, 0)

User = tuple[int, int]


class Program:
    """What to start. `stdio` are three descriptors, `directory` is an open one; `user` is uid
    and gid, None for the keeper's own."""

    def __init__(
        self,
        argv: list[str],
        env: dict[str, str],
        directory: int,
        stdio: tuple[int, int, int],
        user: User | None,
    ) -> None:
        self.argv = [word.encode() for word in argv]
        self.env = {key.encode(): value.encode() for key, value in env.items()}
        self.directory = directory
        self.stdio = stdio
        self.user = user


_protected = False


def begin() -> None:
    """Make this process one whose children need little set right, since all that a child
    touches before its exec has to be copied for it. Once, before the first `start`."""
    global _protected  # noqa: PLW0603 - of the process, as all that is set here
    for number in signal.valid_signals():
        # Exec resets handlers, but leaves ignored what is: Python's SIGPIPE, nohup's SIGHUP.
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _nothing)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with open("/proc/self/oom_score_adj") as file:
        _protected = int(file.read()) < 0


def _nothing(_number: int, _frame: object) -> None:
    """What a signal does that was ignored."""


def start(program: Program, cgroup: int | None) -> tuple[int, int]:
    """Fork, into an open cgroup where there is one. Returns the pid and the reading end of
    the error pipe (non-blocking); see `problem`. Raises OSError where no fork was had."""
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    syscalls.close_on_exec_from(3)
    try:
        pid = os.fork() if cgroup is None else syscalls.clone_into(cgroup)
    except OSError:
        os.close(reading)
        os.close(writing)
        raise
    if pid == 0:
        _child(program, writing)
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


def _child(program: Program, writing: int) -> None:
    """Never returns."""
    gc.disable()
    stage = ["session"]
    try:
        _prepare(program, stage)
        stage[0] = "exec"
        _execute(program, stage)
    except Exception as error:  # noqa: BLE001 - whatever it is, the program was not started
        number = getattr(error, "errno", None) or errno.EINVAL
        with contextlib.suppress(OSError):  # nobody is there to be told
            os.write(writing, f"{stage[0]}:{number}".encode())
    finally:
        os._exit(127)


def _prepare(program: Program, stage: list[str]) -> None:
    os.setsid()
    if _protected:  # the keeper's own protection is not its tasks'
        file = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
        os.write(file, b"0")
    stage[0] = "stdio"
    for target, source in enumerate(program.stdio):
        os.dup2(source, target)
    stage[0] = "limits"
    resource.setrlimit(resource.RLIMIT_CORE, _NO_CORE)
    resource.setrlimit(resource.RLIMIT_NOFILE, FILES_LIMIT)
    os.umask(_UMASK)
    if program.user is not None:
        stage[0] = "user"
        uid, gid = program.user
        if os.geteuid() == 0:
            os.setgroups(())
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    stage[0] = "working_dir"
    os.fchdir(program.directory)


def _execute(program: Program, stage: list[str]) -> None:
    """Execvp by the task's own PATH and as its user, but a script without a first line that
    names its interpreter is not given to a shell. Raises OSError."""
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


def _exec(path: bytes, program: Program, stage: list[str]) -> None:
    try:
        os.execve(path, program.argv, program.env)
    except FileNotFoundError:
        if os.path.exists(path):  # then it is the file's loader or interpreter that is missing
            stage[0] = "interpreter"
        raise
