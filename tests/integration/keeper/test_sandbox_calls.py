"""System calls in a sandbox, tried by real programs: what is refused, and that the rest works."""

from __future__ import annotations

import errno
import json
import os
import signal

import pytest

from runner.keeper import seccomp
from tests.support.sandboxed import Sandboxed

PYTHON = "/usr/bin/python3"
CALLS = """
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
said = []
for number, *arguments in json.loads(sys.argv[1]):
    ctypes.set_errno(0)
    words = [ctypes.c_long(each) for each in (number, *arguments)]
    said.append([libc.syscall(*words), ctypes.get_errno()])
print(json.dumps(said))
"""
OLD_CALL = """
import ctypes, mmap
code = bytes.fromhex("b814000000cd80c3")  # mov eax, 20; int 0x80 (getpid of 32 bits); ret
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(code)
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
print("lived")
"""

machine = os.uname().machine
pytestmark = pytest.mark.skipif(
    machine not in seccomp.ARCHITECTURES or not os.path.exists(PYTHON),  # noqa: PTH110 - short
    reason="cannot here: no table for this machine, or no Python of the system",
)


def tried(inside: Sandboxed, calls: list[list[int]]) -> list[tuple[int, int]]:
    """What each call answered, and its errno."""
    run = inside.run([PYTHON, "-c", CALLS, json.dumps(calls)])
    assert run.status == 0, run.out
    return [(result, error) for result, error in json.loads(run.out)]


def test_every_refused_call_fails(inside: Sandboxed) -> None:
    column = seccomp.ARCHITECTURES[machine][0]
    numbers = {name: numbers[column] for name, numbers in seccomp.REFUSED.items()}
    calls = [[number, -1, -1, -1, -1, -1] for number in numbers.values() if number is not None]
    assert set(tried(inside, calls)) == {(-1, errno.EPERM)}
    # by the filter and not for want of a capability: these need none
    harmless = [[numbers["unshare"], 0], [numbers["keyctl"], 0, -3, 0, 0, 0]]
    assert set(tried(inside, harmless)) == {(-1, errno.EPERM)}


def test_calls_that_are_newer_than_the_table_are_not_there(inside: Sandboxed) -> None:
    answers = tried(inside, [[seccomp.NEWEST + 1], [seccomp.CLONE3, 0, 0], [5000]])
    assert set(answers) == {(-1, errno.ENOSYS)}


def test_arguments_decide_where_a_call_has_harmless_uses(inside: Sandboxed) -> None:
    column = seccomp.ARCHITECTURES[machine][0]
    number = {name: condition.numbers[column] for name, condition in seccomp.CONDITIONS.items()}
    refused = [
        [number["clone"], 0x10000000 | 17, 0, 0, 0, 0],
        [number["ioctl"], 0, 0x5412, 0],
        [number["ioctl"], 0, 0x1_0000_5412, 0],  # the kernel looks at the low half only
        [number["personality"], 0x0400000],
    ]
    assert set(tried(inside, refused)) == {(-1, errno.EPERM)}
    families = [[number["socket"], family, 1, 0] for family in (38, 40)]
    assert set(tried(inside, families)) == {(-1, errno.EAFNOSUPPORT)}
    allowed = [[number["socket"], 1, 1, 0], [number["personality"], 0xFFFFFFFF]]
    assert [error for _, error in tried(inside, allowed)] == [0, 0]


@pytest.mark.skipif(machine != "x86_64", reason="cannot here: written in its machine code")
def test_a_call_in_the_way_of_32_bits_kills(inside: Sandboxed) -> None:
    run = inside.run([PYTHON, "-c", OLD_CALL])
    assert os.waitstatus_to_exitcode(run.status) in (-signal.SIGSYS, -signal.SIGSEGV), run.out
    # SIGSEGV: a kernel that has no such way at all


def test_mounting_and_new_namespaces_are_refused_to_commands_too(inside: Sandboxed) -> None:
    for command in ("unshare -r true", "mount -t tmpfs none /tmp", "/usr/sbin/chroot / true"):
        said = inside.shell(f"{command}; echo $?")
        assert "not permitted" in said or "superuser" in said or "denied" in said, command
        assert said.splitlines()[-1] != "0"


def test_threads_processes_and_debuggers_work(inside: Sandboxed) -> None:
    work = """
import threading, subprocess, multiprocessing, socket, tempfile, ctypes
threads = [threading.Thread(target=print) for _ in range(4)]
[t.start() for t in threads]; [t.join() for t in threads]
assert subprocess.run(["/bin/true"]).returncode == 0
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(abs, [-1, -2]) == [1, 2]
multiprocessing.Semaphore()
a, b = socket.socketpair()
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
tempfile.NamedTemporaryFile()
assert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == 0  # PTRACE_TRACEME
print("done")
"""
    assert inside.run([PYTHON, "-c", work]).out.strip() == "done"
