"""What a program sees and can do in a sandbox, by the modules alone: no keeper is there."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from tests.support.sandboxed import Sandboxed

KINDS = ["user", "mnt", "pid", "ipc", "uts", "cgroup", "net"]
WRITABLE = {"/workspace", "/run/env-runner", "/tmp", "/dev/shm"}
DEVICES = {f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "pts")}
CONNECT = """
import socket, sys
with socket.socket() as s:
    s.settimeout(5)
    print(s.connect_ex(("127.0.0.1", int(sys.argv[1]))))
"""


def script(text: str) -> dict[str, object]:
    return {"argv": ["/bin/sh", "-c", text], "directory": "/workspace"}


def test_every_namespace_is_another_one(inside: Sandboxed) -> None:
    seen = inside.shell(f"for n in {' '.join(KINDS)}; do readlink /proc/self/ns/$n; done").split()
    own = [str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in KINDS]
    assert len(seen) == len(KINDS)
    assert not set(seen) & set(own)


def test_no_process_inside_has_a_capability_or_could_gain_one(inside: Sandboxed) -> None:
    for process in ("self", "1", "2"):
        text = inside.shell(f"cat /proc/{process}/status")
        status = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
        sets = {key: int(value, 16) for key, value in status.items() if key.startswith("Cap")}
        assert set(sets.values()) == {0}, process
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2", process
        assert set(status["Uid"].split()) == {str(inside.uid)}
        assert set(status["Groups"].split()) <= {str(inside.uid), "65534"}


def test_only_the_tasks_own_places_can_be_written_to(inside: Sandboxed) -> None:
    mounts = [line.split() for line in inside.shell("cat /proc/self/mountinfo").splitlines()]
    writable = {fields[4] for fields in mounts if "rw" in fields[5].split(",")}
    assert writable == WRITABLE | DEVICES | {"/proc"}
    assert all("nosuid" in fields[5] for fields in mounts)
    assert {fields[4] for fields in mounts if "nodev" not in fields[5]} == DEVICES
    tried = ["/", "/dev", "/etc", "/usr", "/usr/bin", "/run", "/var", "/proc", "/proc/sys/kernel"]
    runs = inside.all([script(f"(: >{each.rstrip('/')}/x) 2>&1") for each in tried])
    assert [each for each, run in zip(tried, runs, strict=True) if run.status == 0] == []


def test_what_it_writes_lies_on_the_disk_outside(inside: Sandboxed) -> None:
    places = {
        "workspace": "/workspace",
        "task": "/run/env-runner",
        "tmp": "/tmp",
        "shm": "/dev/shm",
    }
    assert inside.shell("".join(f"echo {name} >{at}/mark;" for name, at in places.items())) == ""
    for name in places:
        assert (inside.disk / name / "mark").read_text() == f"{name}\n"
        assert (inside.disk / name / "mark").stat().st_uid == inside.uid
    assert inside.shell("cat /var/tmp/mark") == "tmp\n"


def test_it_sees_no_process_but_its_own(inside: Sandboxed) -> None:
    seen = inside.shell("cd /proc; echo [0-9]*").split()
    assert {"1", "2"} < set(seen)
    assert len(seen) <= 4
    said = inside.shell(
        "for p in 1 2; do tr '\\0' ' ' </proc/$p/cmdline; cat /proc/$p/environ; done"
    )
    assert str(inside.disk) not in said
    assert "PATH" not in said


def test_it_has_no_descriptor_of_the_keeper(inside: Sandboxed) -> None:
    lines = inside.shell("ls -l /proc/1/fd /proc/2/fd /proc/self/fd").splitlines()
    kinds = {line.split(" -> ")[1].split(":")[0] for line in lines if " -> " in line}
    assert {kind for kind in kinds if not kind.startswith("/proc/")} == {
        "pipe",
        "anon_inode",
        "/dev/null",
    }
    own = inside.shell("ls -l /proc/self/fd").splitlines()
    assert sum(" -> " in line for line in own) == 4  # ls has opened one itself


@pytest.mark.parametrize("name", ["cwd", "root", "fd"])
def test_no_descriptor_leads_out_before_exec_either(inside: Sandboxed, name: str) -> None:
    ways = [f"/proc/self/fd/{number}" for number in range(3, 40)] if name == "fd" else []
    ways = ways or [f"/proc/self/{name}"]
    runs = inside.all([{"argv": ["/bin/ls", "-d", "/root"], "directory": way} for way in ways])
    if name == "fd":
        assert {run.problem and run.problem[0] for run in runs} == {"working_dir"}
    assert not any(run.problem is None and run.status == 0 for run in runs)


def test_its_user_and_its_host_have_names(inside: Sandboxed) -> None:
    assert inside.shell("id -un; uname -n").split() == ["task", "env-runner"]


def test_without_a_network_it_has_only_a_loopback_of_its_own(inside: Sandboxed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        argv = ["/usr/bin/python3", "-c", CONNECT, port]
        assert inside.run(argv).out.strip() != "0"
        assert inside.run(argv, network=True).out.strip() == "0"
    devices = inside.shell("cat /proc/net/dev").splitlines()[2:]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    assert len(inside.shell("cat /proc/net/route").splitlines()) <= 1


def test_a_granted_mount_is_seen_and_written_to_only_where_it_may_be(
    inside: Sandboxed, home: Path
) -> None:
    granted = home / "granted"
    granted.mkdir(mode=0o777)
    granted.chmod(0o777)
    (granted / "data").write_text("seen\n")
    mounts = [[str(granted), "/mnt/ro", True], [str(granted), "/mnt/rw", False]]
    said = inside.shell("cat /mnt/ro/data; echo a >/mnt/ro/x; echo b >/mnt/rw/y", mounts=mounts)
    assert said.startswith("seen\n")
    assert "Read-only" in said
    assert sorted(path.name for path in granted.iterdir()) == ["data", "y"]
    shutil.rmtree(granted)


@pytest.mark.skipif(os.geteuid() != 0, reason="cannot here: needs root")
def test_a_set_user_id_file_gains_nothing(inside: Sandboxed, home: Path) -> None:
    granted = home / "granted"
    granted.mkdir(mode=0o755)
    shutil.copy("/usr/bin/id", granted / "id")
    (granted / "id").chmod(0o4755)  # root's
    mounts = [[str(granted), "/mnt/x", True]]
    assert inside.shell("/mnt/x/id -u", mounts=mounts).strip() == str(inside.uid)
    shutil.rmtree(granted)
