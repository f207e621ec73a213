"""The hostile tasks of `guest.py`. Each attack is made first where there is no sandbox, and has to
work there, and then by a task.

Outside it is root's, in mounts of its own, so that the guest is as it was before.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

from stage import Checks, output, python

from supervisor.client import Supervisor

ATTACKS = """
import ctypes, json, os, signal, socket, stat, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
def done(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return True
def which(file, what):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/{file}", "rb") as each:
                found += [pid] * (what in each.read())
        except OSError:
            pass
    return found
def traced(pid):
    SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
    done(libc.ptrace(SEIZE, pid, 0, 0))
    done(libc.ptrace(INTERRUPT, pid, 0, 0))
    os.waitpid(pid, 0x40000000)
    return done(libc.ptrace(DETACH, pid, 0, 0))
keeper, daemon, port, neighbour = sys.argv[1:]
tries = {
    "read the journal": lambda: open("/var/lib/env-runner/journal.db", "rb"),
    "list the keeper's files": lambda: os.listdir("/var/lib/env-runner-keeper"),
    "read shadow": lambda: open("/etc/shadow"),
    "read the configuration": lambda: open("/etc/env-runner/config.toml"),
    "write to /usr": lambda: open("/usr/hostile", "w"),
    "write to /etc": lambda: open("/etc/hostile", "w"),
    "write to /": lambda: open("/hostile", "w"),
    "set the kernel": lambda: open("/proc/sys/kernel/core_pattern", "w"),
    "see systemd": lambda: which("comm", b"systemd"),
    "see a neighbour": lambda: which("environ", b"NEIGHBOUR"),
    "signal the neighbour": lambda: not os.kill(int(neighbour), 0),
    "signal the keeper": lambda: not os.kill(int(keeper), 0),
    "signal the daemon": lambda: not os.kill(int(daemon), 0),
    "trace the neighbour": lambda: traced(int(neighbour)),
    "read the neighbour's memory": lambda: open(f"/proc/{neighbour}/mem", "rb"),
    "reach loopback": lambda: socket.create_connection(("127.0.0.1", int(port)), 5),
    "reach the daemon": lambda: not socket.socket(socket.AF_UNIX).connect(
        "/run/env-runner/supervisor.sock"),
    "reach the keeper": lambda: not socket.socket(socket.AF_UNIX).connect(
        "/run/env-runner-keeper/keeper.sock"),
    "reach the bus": lambda: not socket.socket(socket.AF_UNIX).connect(
        "/run/dbus/system_bus_socket"),
    "become root": lambda: not os.setuid(0),
    "mount": lambda: done(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "remount": lambda: done(libc.mount(None, b"/usr", None, 32 | 4096, None)),
    "make a user namespace": lambda: done(libc.unshare(0x10000000)),
    "make a device": lambda: not os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(1, 0)),
    "find its cgroup": lambda: os.listdir("/sys/fs/cgroup"),
}
worked = []
for name, attempt in tries.items():
    if (pid := os.fork()) == 0:  # what one changes of itself is not to help or hinder the next
        try:
            os._exit(0 if attempt() else 1)
        except OSError:
            os._exit(1)
    if os.waitpid(pid, 0)[1] == 0:
        worked.append(name)
print(json.dumps([list(tries), worked]))
"""

# What setuid gives is seen in the effective user of what runs.
GAINS = """
import json, os, sys, time
program, before = sys.argv[1], os.getuid()
pid = os.fork()
if pid == 0:
    os.execv(program, [program, "60"])
def seen():
    try:
        status = dict(line.split(":", 1) for line in open(f"/proc/{pid}/status"))
    except OSError:
        return None
    runs = status["Name"].strip() == os.path.basename(program)
    return int(status["Uid"].split()[1]) if runs else None
deadline = time.monotonic() + 60
while (user := seen()) is None and time.monotonic() < deadline:
    time.sleep(0.05)
print(json.dumps([["gain"], ["gain"] if user not in (None, before) else [], user]))
try:
    os.kill(pid, 9)
except OSError:
    pass
"""
SETUID = Path("/usr/bin/guest-sleep")  # where every task sees it

# /usr is a mount there, so that there is something to be remounted.
OUTSIDE = 'mount --bind /usr /usr && exec python3 -ISc "$@"'


async def attacked(checks: Checks, runner: Supervisor, pids: tuple[int, int, int]) -> None:
    """All attacks that need no preparation. `pids` are those of keeper, daemon and neighbour."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    keeper, daemon, neighbour = pids
    words = [str(each) for each in (keeper, daemon, server.sockets[0].getsockname()[1], neighbour)]
    with tempfile.TemporaryDirectory() as place:
        shell = ["unshare", "--mount", "--propagation", "private", "sh", "-c", OUTSIDE, "sh"]
        told = await _run(*shell, ATTACKS, *words, at=place)
    for left in ("/usr/hostile", "/etc/hostile", "/hostile"):
        Path(left).unlink(missing_ok=True)
    every, worked, _ = _read(told)
    stopped = sorted({*every} - {*worked})
    checks.that(every and not stopped, f"{len(every)} attacks work where there is no sandbox",
                stopped or told)  # fmt: skip
    result, text = await output(runner, python(ATTACKS, *words))
    server.close()
    tried, worked, _ = _read(text)
    checks.that(every and tried == every and not worked, "and come to nothing in a hostile task",
                worked or (text, str(result.task.failure)))  # fmt: skip


async def gains_nothing(checks: Checks, runner: Supervisor) -> None:
    """A setuid file, put there by root itself."""
    shutil.copy("/usr/bin/sleep", SETUID)
    SETUID.chmod(0o4755)
    try:
        ordinary = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        told = await _run(*ordinary, "python3", "-ISc", GAINS, str(SETUID))
        _, worked, user = _read(told)
        checks.that(worked and user == 0, "a setuid file makes an ordinary user root", told)
        _, text = await output(runner, python(GAINS, str(SETUID)))
        tried, worked, user = _read(text)
        checks.that(tried and not worked and user, "and gives a task nothing", text)
    finally:
        SETUID.unlink()


async def _run(*command: str, at: str = "/") -> str:
    """What a command prints; this process goes on answering others meanwhile."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=at, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await process.communicate()
    return told.decode(errors="replace")


def _read(text: str) -> tuple[list[str], list[str], int | None]:
    """What was tried, what worked, and as whom; nothing where it told nothing."""
    try:
        tried, worked, *rest = json.loads(text)
    except ValueError:
        return [], [], None
    return tried, worked, rest[0] if rest else None
