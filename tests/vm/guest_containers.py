"""Tasks in containers of Docker, under pure cgroup v2 and with the daemon's own unit: the drop-in
lets it at the socket, and the kernel holds each container to its limits.

Run after `guest.py`, as root, with the installed Python. Docker is started here with no network
and a plain storage driver, since the guest's kernel comes without modules.
"""

from __future__ import annotations

import asyncio
import grp
import http.client
import io
import json
import os
import shutil
import socket
import stat
import sys
import tarfile
from pathlib import Path

from stage import DAEMON, KEEPER, Checks, log, pid, said, status, systemctl, until

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1

CONFIG = Path("/etc/env-runner/config.toml")
DROP_IN = Path(f"/etc/systemd/system/{DAEMON}.service.d/docker.conf")
SOCKET = Path("/run/docker.sock")
DOCKERD = [
    "dockerd",
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--storage-driver=vfs",
    "--group=docker",
]
POLICY = '\n[policy]\nimages = ["guest"]\n'
TOO_MUCH = "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}"
# It ends its output a while before itself, so that what was refused can still be counted.
FORKS = """
(n=0; while [ $n -lt 40 ]; do sleep 5 >/dev/null 2>&1 & n=$((n+1)); done)
exec >&- 2>&-
n=0; while [ $n -lt 300000 ]; do n=$((n+1)); done
exit 3
"""
MAJOR = 240  # kept for local use by the kernel
LOOK = """
import asyncio, pathlib, sys
from runner.executors.local import LocalExecutor

async def main():
    run = pathlib.Path("/run/env-runner-keeper/keeper.sock")
    local = LocalExecutor(pathlib.Path("/var/lib/env-runner-keeper"), run, start_keeper=False)
    access = await local.look_into(sys.argv[1], int(sys.argv[2]), ["/dev/nvidia0"])
    print(sorted(access.minors), list(access.shut))
    await local.close()

asyncio.run(main())
"""
APPLETS = ["sh", "cat", "echo", "head", "id", "sleep", "tr"]


def payload(script: str, **resources: object) -> dict[str, object]:
    return {
        "execution": {
            "image": "guest",
            "pull": "never",
            "command": ["sh", "-c", script],
            "resources": {"memory": "64MiB", "processes": 16, "cpu": 0.5, **resources},
        }
    }


async def main() -> int:
    """All acts; the exit code is the number of what failed, up to 1."""
    checks = Checks()
    try:
        await begin(checks)
        async with Supervisor(patience=300, connect_timeout=120) as runner:
            await tasks(checks, runner)
        await devices(checks)
    except Exception as error:  # noqa: BLE001 - the summary must come, whatever happened
        checks.that(False, "the acts go on to their end", error)
    if checks.failed:
        print(said("journalctl", "--no-pager", "-n", "60", "-u", DAEMON, "-u", "engine"))
    await systemctl("stop", DAEMON, KEEPER, "engine")
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return min(checks.failed, 1)


async def begin(checks: Checks) -> None:
    said("systemd-run", "--unit=engine", "--property=Delegate=yes", *DOCKERD)
    there = await until(lambda: SOCKET.is_socket() and said("systemctl", "is-active", "engine"))
    checks.that(
        there, "Docker starts, in its own control group", said("systemctl", "status", "engine")
    )
    checks.that(load(image()), "it takes an image without any registry")
    DROP_IN.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy("/vm/bundle/docker.conf.example", DROP_IN)
    CONFIG.write_text(CONFIG.read_text() + POLICY)
    await systemctl("daemon-reload")
    code = await systemctl("restart", DAEMON)
    checks.that(code == 0, "the daemon starts with the drop-in for Docker's socket", code)
    groups = status(pid(DAEMON)).get("Groups", "").split()
    docker = str(grp.getgrnam("docker").gr_gid)
    checks.that(docker in groups, "it is in the socket's group, and no root", groups)
    ready = await until(
        lambda: "docker" in [each.get("executor") for each in log("executor ready")]
    )
    checks.that(ready, "and says that the executor is ready", log("executor not ready"))


async def tasks(checks: Checks, runner: Supervisor) -> None:
    task = await ended(runner, "box", payload("id -u; cat /proc/self/cgroup; exit 7"))
    attempt = task.attempts[0]
    checks.that(attempt.exit_code == 7, "a task runs in a container, and ends as it ended", task)
    checks.that(attempt.executor == "docker", "of Docker", attempt)
    checks.that(attempt.image_digest.startswith("sha256:"), "whose image is told", attempt)
    task = await ended(runner, "memory", payload(TOO_MUCH))
    checks.that(
        task.failure.reason == v1.FAILURE_REASON_OUT_OF_MEMORY,
        "over its memory it is killed by the kernel, and that is told",
        task.failure,
    )
    used = task.attempts[0].usage.max_memory_bytes
    checks.that(used <= 64 << 20, "which held it to no more than it was granted", used)
    task = await ended(runner, "forks", payload(FORKS))
    checks.that(
        task.failure.reason == v1.FAILURE_REASON_LIMIT and "processes" in task.failure.message,
        "it has no more processes than it was granted, and that is told",
        task.failure,
    )
    # long beside the runtime's own start, which counts as the container's too
    busy = "n=0; while [ $n -lt 100000 ]; do n=$((n+1)); done"
    task = await ended(runner, "busy", payload(busy))
    attempt = task.attempts[0]
    took = attempt.exit_time.ToDatetime() - attempt.start_time.ToDatetime()
    share = attempt.usage.cpu_time.ToTimedelta() / took
    checks.that(share < 0.75, "it has no more than its share of the processors", (share, task))
    left = [each for each in containers() if each]
    checks.that(not left, "and no container is left of any", left)


async def devices(checks: Checks) -> None:
    """What the keeper sees for the daemon of a container's GPU, whose rules are systemd's. Nobody
    drives that device: to open it is ENXIO where it is allowed."""
    await systemctl("stop", DAEMON)  # whose user then asks in its stead
    kinds = Path("/run/kinds")
    kinds.write_text(Path("/proc/devices").read_text().replace("\n\n", f"\n{MAJOR} nvidia\n\n", 1))
    said("mount", "--bind", str(kinds), "/proc/devices")
    os.mknod("/dev/nvidia0", stat.S_IFCHR | 0o666, os.makedev(MAJOR, 0))
    given = {"PathOnHost": "/dev/nvidia0", "PathInContainer": "/dev/nvidia0"}
    container, process = begun([{**given, "CgroupPermissions": "rwm"}])
    driver = json.loads(docker("GET", "/info"))["CgroupDriver"]
    checks.that(driver == "systemd", "Docker leaves its containers' groups to systemd", driver)
    seen = looked_into(container, process)
    checks.that(seen == "[0] []", "the keeper sees its GPU, and that it may open it", seen)
    unit = f"docker-{container}.scope"
    await systemctl("set-property", "--runtime", unit, "DeviceAllow=")
    await systemctl("daemon-reload")
    seen = looked_into(container, process)
    checks.that(seen == "[0] ['/dev/nvidia0']", "and that systemd has taken that away", seen)
    docker("DELETE", f"/containers/{container}?force=1")
    bare, process = begun([])
    seen = looked_into(bare, process)
    checks.that(seen == "[] ['/dev/nvidia0']", "one that has none sees none", seen)
    docker("DELETE", f"/containers/{bare}?force=1")
    said("umount", "/proc/devices")
    Path("/dev/nvidia0").unlink()


def begun(given: list[dict[str, str]]) -> tuple[str, int]:
    """A container with these devices that runs: its id and its first process."""
    body = {"Image": "guest", "Cmd": ["sleep", "600"], "HostConfig": {"Devices": given}}
    made = json.loads(docker("POST", "/containers/create", json.dumps(body)))["Id"]
    docker("POST", f"/containers/{made}/start")
    return made, json.loads(docker("GET", f"/containers/{made}/json"))["State"]["Pid"]


def looked_into(container: str, process: int) -> str:
    """The numbers of the GPUs that it sees, and the nodes that it may not open, as the keeper tells
    the daemon's user."""
    words = [sys.executable, "-c", LOOK, container, str(process)]
    user = ["--property=User=env-runner", "--property=PrivateUsers=yes"]
    return said("systemd-run", "--quiet", "--pipe", "--wait", *user, *words)


async def ended(runner: Supervisor, name: str, asked: dict[str, object]) -> v1.Task:
    await runner.assign(asked, task_class="cpu_short", task_id=name)
    async for _ in runner.watch([name], until_done=True):
        pass
    return await runner.get(name)


def image() -> bytes:
    """A tar of busybox and nothing else."""
    found = io.BytesIO()
    with tarfile.open(fileobj=found, mode="w") as tar:
        for name in ("bin", "dev", "etc", "proc", "sys", "tmp"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for name in APPLETS:
            entry = tarfile.TarInfo(f"bin/{name}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return found.getvalue()


class Unix(http.client.HTTPConnection):
    """HTTP over Docker's socket."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(SOCKET))


def docker(method: str, path: str, body: str = "") -> str:
    """What Docker answers."""
    ask = Unix("localhost", timeout=300)
    ask.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    return ask.getresponse().read().decode()


def load(tar: bytes) -> bool:
    """Whether Docker has it as `guest`."""
    ask = Unix("localhost", timeout=300)
    ask.request("POST", "/images/create?fromSrc=-&repo=guest&tag=latest", tar)
    answer = ask.getresponse()
    return answer.status == 200 and b"error" not in answer.read()


def containers() -> list[str]:
    ask = Unix("localhost", timeout=300)
    ask.request("GET", "/containers/json?all=1")
    return [each for each in ask.getresponse().read().decode().strip("[]\n").split("}") if each]


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
