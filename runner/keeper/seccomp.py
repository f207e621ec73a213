"""The system calls that a confined task does not get, as a classic BPF program (seccomp(2)).

Everything is allowed but what is named here: what the default profiles of containers refuse and
a task has no use for, most of it ways to the kernel's inside that a bug could open. Numbers: for
x86_64 arch/x86/entry/syscalls/syscall_64.tbl, for aarch64 include/uapi/asm-generic/unistd.h of
Linux 6.17. Allowed on purpose: ptrace and process_vm_*, since a task has no other user's process
to turn them on. Not here: who is put under the program (spawn.py, sandbox.py).
"""

from __future__ import annotations

import errno
import os
import struct
from typing import NamedTuple

ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000, 0x80000000
"""What the program answers: go on, fail with the errno in the low half, die of SIGSYS."""

NEWEST = 469  # file_setattr; later calls are answered as by a kernel without them
NEW_NAMESPACES = 0x7E020000  # CLONE_NEW*: NS CGROUP UTS IPC USER PID NET

REFUSED: dict[str, tuple[int | None, int | None]] = {  # on x86_64, on aarch64
    # mounts and namespaces
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "unshare": (272, 97),
    "setns": (308, 268),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # the machine
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "iopl": (172, None),
    "ioperm": (173, None),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    # wide doors to the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    # keys, which are of a user and outlive the task
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}


class Condition(NamedTuple):
    """A call that depends on the low 32 bits of one argument: whether they are one of `values`
    (or, with `any_bit`, have one of their bits) decides whether it is `refused`."""

    numbers: tuple[int, int]  # on x86_64, on aarch64
    argument: int
    values: tuple[int, ...]
    refused: bool = True
    any_bit: bool = False
    error: int = errno.EPERM


CONDITIONS = {
    "clone": Condition((56, 220), 0, (NEW_NAMESPACES,), any_bit=True),
    # TIOCSTI and TIOCLINUX type into a terminal
    "ioctl": Condition((16, 29), 1, (0x5412, 0x541C)),
    # the ones that change nothing but a program's own view: Linux, 32 bits (as uname says it),
    # an old version, no random addresses, and the question which it is
    "personality": Condition(
        (135, 92), 0, (0, 0x8, 0x20000, 0x20008, 0x40000, 0xFFFFFFFF), refused=False
    ),
    # AF_ALG is the kernel's own cryptography; AF_VSOCK leads past any network to the hypervisor
    "socket": Condition((41, 198), 0, (38, 40), error=errno.EAFNOSUPPORT),
}

CLONE3 = 435  # its flags lie in memory: the C library takes clone where this is not there

ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""The column of a machine in the tables, and its AUDIT_ARCH."""

_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they lie in struct seccomp_data


def program(machine: str | None = None) -> bytes:
    """The program for a machine as uname names it (this one); empty for one that has no table.
    Programs of another architecture that the machine could run too (32 bits) are killed."""
    name = os.uname().machine if machine is None else machine
    if name not in ARCHITECTURES:
        return b""
    column, audit = ARCHITECTURES[name]
    body: list[bytes] = []
    for condition in CONDITIONS.values():
        body += _condition(condition, column)
    refused = [numbers[column] for numbers in REFUSED.values()]
    for number in refused:
        if number is not None:
            body += [_step(_JUMP_EQUAL, number, 0, 1), _fail(errno.EPERM)]
    return b"".join(
        [
            _step(_LOAD, _ARCHITECTURE),
            _step(_JUMP_EQUAL, audit, 1, 0),
            _step(_RETURN, KILL),
            _step(_LOAD, _NUMBER),
            # x32, which is x86_64 with a bit in the number, is above it too
            _step(_JUMP_ABOVE, NEWEST, 0, 1),
            _fail(errno.ENOSYS),
            _step(_JUMP_EQUAL, CLONE3, 0, 1),
            _fail(errno.ENOSYS),
            *body,
            _step(_RETURN, ALLOW),
        ]
    )


def _condition(condition: Condition, column: int) -> list[bytes]:
    refuse, allow = _fail(condition.error), _step(_RETURN, ALLOW)
    hit, miss = (refuse, allow) if condition.refused else (allow, refuse)
    jump = _JUMP_BITS if condition.any_bit else _JUMP_EQUAL
    count = len(condition.values)
    tests = [
        _step(jump, value, count - position, 0) for position, value in enumerate(condition.values)
    ]
    rest = [_step(_LOAD, _ARGUMENTS + 8 * condition.argument), *tests, miss, hit]
    return [_step(_JUMP_EQUAL, condition.numbers[column], 0, len(rest)), *rest]


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """A struct sock_filter: the jumps skip that many steps."""
    return struct.pack("HBBI", code, if_true, if_false, value)


def _fail(error: int) -> bytes:
    return _step(_RETURN, FAIL | error)
