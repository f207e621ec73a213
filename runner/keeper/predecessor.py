"""What an earlier keeper left when it died: kill it all, and record the ends as lost.

No signal goes to a recorded pid but where start time and boot id prove whose it is.
"""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import time
from collections.abc import Iterator

from runner.keeper import cgroups_tree as tree
from runner.keeper import files, records, tracing
from runner.keeper.ahead import PREFIX as AHEAD
from runner.keeper.attempt import Host, identity
from runner.keeper.cgroups_group import Group
from runner.keeper.loop import log
from runner.keeper.messages import NAME
from runner.keeper.output import TAIL
from runner.keeper.records import Record
from runner.keeper.space import Space

_PATIENCE = 10.0  # seconds until what was killed must be gone; a process may hang in its disk

Steps = Iterator[None]
Places = Iterator[tuple[int, set[int]]]


def clear(host: Host) -> None:
    """Kill what is left of every unfinished attempt, then record their ends."""
    unfinished = _unfinished(host)
    where = {launch["cgroup"] for launch in unfinished if launch["boot_id"] == host.boot_id}
    own = set() if host.cgroups is None else host.cgroups.bases
    if host.cgroups is not None:
        where |= {host.cgroups.record(name) for name in host.cgroups.names()}
    groups = [Group(record) for record in where - {""}]
    deadline = time.monotonic() + _PATIENCE
    alive = _kill(host, unfinished, groups)
    while alive and time.monotonic() < deadline:
        time.sleep(0.01)
        alive = _kill(host, unfinished, groups)
    if alive:
        log(f"{alive} processes or groups of an earlier keeper do not die")
    for group in groups:
        group.remove()
        for base in group.bases() - own:  # the keeper ran elsewhere
            tree.remove(base)
    for launch in unfinished:
        directory = os.open(launch["name"], os.O_RDONLY, dir_fd=host.directory)
        with contextlib.suppress(OSError):  # the disk is full: `end` says the same again
            records.write(directory, records.EXIT, _lost(host, launch, directory))
        with contextlib.suppress(OSError):  # no task had it, then
            host.disks.close(launch["name"])
        os.close(directory)
    if unfinished:
        log(f"{len(unfinished)} tasks of an earlier keeper were killed and are lost")


def end(host: Host, directory: int) -> Record | None:
    """The end of an attempt that does not run; None where it was never launched.

    Raises records.Unreadable.
    """
    record = records.read(directory, records.EXIT)
    if record is None:
        launch = records.read(directory, records.LAUNCH)
        record = None if launch is None else _lost(host, launch, directory)
    return record


def _unfinished(host: Host) -> list[Record]:
    """The launches that have no end. Clears away half-removed attempts on its way."""
    found = []
    for name in os.listdir(host.directory):
        if name.startswith((files.REMOVING, AHEAD)):
            for _ in files.removal(host.directory, name):
                pass
        elif NAME.fullmatch(name) and os.path.isdir(f"{host.root}/{name}"):
            directory = os.open(name, os.O_RDONLY, dir_fd=host.directory)
            with contextlib.suppress(records.Unreadable):  # told to whoever asks for it
                if records.EXIT not in os.listdir(directory):
                    launch = records.read(directory, records.LAUNCH)
                    found += [] if launch is None else [launch]
            os.close(directory)
    return found


def _kill(host: Host, unfinished: list[Record], groups: list[Group]) -> int:
    """One round; how many groups and processes were still alive."""
    alive = 0
    for group in groups:
        if group.populated():
            group.kill()
            alive += 1
    for launch in unfinished:
        if launch["boot_id"] != host.boot_id or launch["cgroup"]:
            continue
        if launch.get("first"):
            Space(*launch["first"]).kill()
        main = tracing.look(launch["pid"]) if launch["pid"] else None
        found = tracing.of_directory(f"{host.root}/{launch['name']}")
        if main is not None and not main.zombie and main.start_ticks == launch["start_ticks"]:
            found.append(main)
            with contextlib.suppress(OSError):
                os.killpg(main.pid, signal.SIGKILL)
        for process in found:
            tracing.kill(process)
        alive += len(found)
    return alive


def _lost(host: Host, launch: Record, directory: int) -> Record:
    if launch["boot_id"] != host.boot_id:
        why = "the host was rebooted while it ran: how it ended cannot be learned"
    else:
        why = (
            "the keeper that ran it died, and what was left of it was killed: "
            "how it ended cannot be learned"
        )
    sizes, tail = [0, 0], b""
    for number, name in enumerate(("stdout", "stderr")):
        with contextlib.suppress(OSError):  # it was never made
            file = os.open(f"output/{name}", os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory)
            sizes[number] = os.fstat(file).st_size
            tail = os.pread(file, TAIL, max(0, sizes[number] - TAIL))
            os.close(file)
    return {
        **identity(launch),
        "exit_time": max(time.time_ns(), launch["start_time"]),
        "code": None,
        "signal": None,
        "lost": why,
        "stopped": None,
        "killed": False,
        "leftovers": 0,
        "cpu_seconds": 0.0,
        "max_memory_bytes": 0,
        "oom_kills": 0,
        "pids_refused": 0,
        "memory_peak": None,
        "memory_limit": None,
        "disk_limit": launch.get("disk"),
        "disk_used": 0,
        "disk_full": False,
        "disk_files": 0,
        "written": sizes,
        "kept": sizes,
        "cause": "",
        "stderr_tail": base64.b64encode(tail).decode(),
    }
