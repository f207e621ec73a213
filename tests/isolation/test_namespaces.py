"""A hostile task in the sandbox mounts nothing, makes no namespace and enters none."""

from __future__ import annotations

import uuid

import pytest

from tests.support.hostile import Sites

REMOUNTS = """
def attack(name):
    NEWNS, REMOUNT, BIND, REC, PRIVATE = 0x20000, 32, 4096, 16384, 1 << 18
    def mount(what, where, flags):
        done(libc.mount(what, where, None, flags, None))
    def quietly(call, *words):
        try:
            call(*words)
        except OSError:
            pass
    quietly(lambda: done(libc.unshare(NEWNS)))
    quietly(mount, None, b"/", REC | PRIVATE)
    quietly(mount, b"/usr", b"/usr", BIND)
    quietly(mount, None, b"/usr", REMOUNT | BIND | 1)
    mount(None, b"/usr", REMOUNT | BIND)
    with open(f"/usr/{name}", "x"):
        os.unlink(f"/usr/{name}")
    return True
"""

MOUNTS = """
def attack(kind):
    NEWNS = 0x20000
    try:
        done(libc.unshare(NEWNS))
    except OSError:
        pass
    os.makedirs("at", exist_ok=True)
    done(libc.mount(b"none", b"at", kind.encode(), 0, None))
    libc.umount2(b"at", 2)
    return True
"""

UNMOUNTS = """
def attack():
    done(libc.unshare(0x20000))
    done(libc.umount2(b"/proc", 2))
    return True
"""

UNSHARES = """
def attack(flags):
    done(libc.unshare(int(flags, 16)))
    return True
"""

CLONES = """
def attack(flags):
    arguments = struct.pack("8Q", int(flags, 16), 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = done(libc.syscall(435, arguments, ctypes.c_size_t(64)))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True
"""

NEWUSER, NEWUSER_NEWNS, NEWNS, NEWNET = "10000000", "10020000", "20000", "40000000"


async def test_it_cannot_make_a_mount_writable(sites: Sites) -> None:
    await sites.contained(REMOUNTS, f"er-hostile-{uuid.uuid4().hex}")


@pytest.mark.parametrize("kind", ["tmpfs", "proc", "cgroup2", "sysfs"])
async def test_it_cannot_mount(sites: Sites, kind: str) -> None:
    await sites.contained(MOUNTS, kind)


async def test_it_cannot_unmount_what_hides_something(sites: Sites) -> None:
    await sites.contained(UNMOUNTS)


@pytest.mark.parametrize("flags", [NEWUSER, NEWUSER_NEWNS, NEWNS, NEWNET])
@pytest.mark.parametrize("way", [UNSHARES, CLONES], ids=["unshare", "clone3"])
async def test_it_cannot_make_a_namespace(sites: Sites, flags: str, way: str) -> None:
    await sites.contained(way, flags)


ENTERS = """
def attack(pid):
    with open(f"/proc/{pid}/ns/uts") as namespace:
        done(libc.setns(namespace.fileno(), 0))
    return True
"""


async def test_it_cannot_enter_a_namespace_of_the_host(sites: Sites) -> None:
    await sites.contained(ENTERS, lambda site: str(site.keeper.pid))
