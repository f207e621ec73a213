"""What the contract suite lets an executor run: one small program, in two renderings.

`argv(real=True)` is a Python program (or sh) that really does it, `argv(real=False)` the
language of the fake executor; both read the same steps.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from runner.executors.fake import fake_argv

PYTHON = "/usr/bin/python3"

# Run as `python3 -ISc PROGRAM STEPS`. Unbuffered writes; a short write is gone on with.
PROGRAM = r"""
import base64, json, os, signal, sys, time

def write(stream, data):
    view = memoryview(data)
    while view:
        view = view[os.write(stream, view):]

def orphan():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(1000)
        os._exit(0)
    os.wait()

def own(name):
    return os.path.join(os.path.dirname(os.environ["ENV_RUNNER_RESULT"]), name)

def plant(path, kind):
    if kind == "link":
        os.symlink("/etc/passwd", path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        os.mkdir(path)
    elif kind == "hard link":
        open(path + ".other", "w").close()
        os.link(path + ".other", path)

for verb, *words in json.loads(sys.argv[1]):
    if verb == "exit":
        os._exit(words[0])
    elif verb == "signal":
        if words[0] not in (9, 19):
            signal.signal(words[0], signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [words[0]])
        os.kill(os.getpid(), words[0])
    elif verb == "sleep":
        time.sleep(words[0])
    elif verb == "write":
        write(words[0], base64.b64decode(words[1]))
    elif verb == "fill":
        unit = base64.b64decode(words[1])
        block = max(1, 65536 // len(unit))
        for _ in range(words[2] // block):
            write(words[0], unit * block)
        write(words[0], unit * (words[2] % block))
    elif verb == "stdin":
        while data := os.read(0, 65536):
            write(1, data)
    elif verb == "environment":
        with open("/proc/self/environ", "rb") as file:
            write(1, file.read())
    elif verb == "directory":
        write(1, os.getcwd().encode())
    elif verb == "append":
        with open(words[0], "a") as file:
            file.write(words[1] + "\n")
    elif verb == "report":
        with open(own(words[0]), "ab") as file:
            file.write(base64.b64decode(words[1]))
    elif verb == "plant":
        plant(own(words[0]), words[1])
    elif verb == "ignore":
        signal.signal(words[0], signal.SIG_IGN)
    elif verb == "on_term":
        signal.signal(signal.SIGTERM, lambda *_, code=words[0]: os._exit(code))
    elif verb == "orphan":
        orphan()
"""


@dataclass(frozen=True)
class Workload:
    """A program, put together step by step; without an `exit` it ends with 0."""

    steps: tuple[tuple[object, ...], ...] = ()

    def argv(self, *, real: bool) -> tuple[str, ...]:
        """How it is asked of a real executor, or of the fake."""
        if not real:
            return fake_argv(*(list(step) for step in self.steps))
        match self.steps:
            case ():
                return ("/bin/true",)
            case (("exit", code),):  # so often run that Python's start would count
                return ("/bin/sh", "-c", f"exit {code}")
        return (PYTHON, "-ISc", PROGRAM, json.dumps(self.steps))

    def script(self) -> str:
        """The same as the text of a Python program."""
        return f"import sys\nsys.argv[1:] = [{json.dumps(self.steps)!r}]\n{PROGRAM}"

    def then(self, *step: object) -> Workload:
        """One more step."""
        return Workload((*self.steps, step))

    def exit(self, code: int) -> Workload:
        return self.then("exit", code)

    def die(self, signal: int) -> Workload:
        """Die by a signal of its own."""
        return self.then("signal", signal)

    def sleep(self, seconds: float) -> Workload:
        return self.then("sleep", seconds)

    def for_ever(self) -> Workload:
        return self.then("sleep", 1000)

    def write(self, data: bytes, stream: int = 1) -> Workload:
        return self.then("write", stream, base64.b64encode(data).decode())

    def fill(self, unit: bytes, times: int, stream: int = 1) -> Workload:
        """Write `unit` so many times."""
        return self.then("fill", stream, base64.b64encode(unit).decode(), times)

    def ignore_term(self) -> Workload:
        return self.then("ignore", 15)

    def on_term(self, code: int) -> Workload:
        """Exit with this code when asked to stop."""
        return self.then("on_term", code)

    def orphan(self) -> Workload:
        """Leave a grandchild in a session of its own that holds the pipes and sleeps."""
        return self.then("orphan")

    def mark(self, path: str, line: str = "started") -> Workload:
        """Append a line to a file."""
        return self.then("append", path, line)

    def report(self, file: str, data: bytes) -> Workload:
        """Append to one of the files in which it reports."""
        return self.then("report", file, base64.b64encode(data).decode())

    def plant(self, file: str, kind: str) -> Workload:
        """Put something else in the place of such a file: a link, a fifo, a directory, a file
        with a second name (hard link)."""
        return self.then("plant", file, kind)

    def echo_stdin(self) -> Workload:
        return self.then("stdin")

    def show_environment(self) -> Workload:
        """Write the environment as NAME=value, each ended by a NUL."""
        return self.then("environment")

    def show_directory(self) -> Workload:
        return self.then("directory")
