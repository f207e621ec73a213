"""What a container is kept from, seen from inside it, and the limits that it is held to."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.containers.conftest import outcome, said
from tests.engines.engine import Engine
from tests.support.containers import contained, running
from tests.support.daemon import Daemon
from tests.support.programs import program

ABOUT_ITSELF = r"""
import json, os, resource
status = dict(line.split(":\t") for line in open("/proc/self/status") if ":\t" in line)
def writable(path):
    try:
        with open(path + "/x", "w"):
            os.unlink(path + "/x")
            return True
    except OSError:
        return False
def opens(path):
    try:
        os.close(os.open(path, os.O_RDONLY))
        return True
    except OSError:
        return False
print(json.dumps({
    **{key: status[key].strip() for key in
       ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Groups")},
    "uid": os.getresuid(), "gid": os.getresgid(),
    "writable": [p for p in ("/", "/etc", "/usr/bin", "/tmp", "/dev", "/proc", "/sys", "/root",
                             "/run", os.getcwd()) if writable(p)],
    "opens": [p for p in ("/dev/kmsg", "/dev/mem", "/proc/kcore", "/dev/vda", "/dev/sda",
                          "/run/docker.sock", "/var/run/docker.sock") if opens(p)],
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "processes": len([p for p in os.listdir("/proc") if p.isdigit()]),
    "first": open("/proc/1/comm").read().strip(),
    "directory": os.getcwd(), "left": os.listdir("."),
    "hostname": os.uname().nodename,
}))
"""

MIB = 1 << 20


async def seen(runner: Supervisor, text: str) -> dict[str, Any]:
    found = json.loads(await said(runner, contained(program(text))))
    assert isinstance(found, dict)
    return found


async def test_it_has_no_privilege_and_can_get_none(runner: Supervisor) -> None:
    found = await seen(runner, ABOUT_ITSELF)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(found[name], 16) == 0, name
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert 0 not in (*found["uid"], *found["gid"], *map(int, found["Groups"].split()))
    assert found["core"] == [0, 0]


async def test_it_sees_and_changes_nothing_but_its_own(runner: Supervisor, its: Engine) -> None:
    found = await seen(runner, ABOUT_ITSELF)
    memory = {"/tmp", "/run"} if its.kind == "podman" else {"/tmp"}
    assert set(found["writable"]) <= {*memory, found["directory"]}
    assert found["directory"] in found["writable"]
    assert found["opens"] == []
    assert found["left"] == []
    assert found["processes"] <= 3  # its init, itself
    assert found["first"] not in ("python3", "systemd")
    assert found["hostname"] != os.uname().nodename


HUNGRY = "x = []\nfor _ in range(400): x.append(bytearray(1 << 20))"


async def test_out_of_memory_it_is_told_so(runner: Supervisor) -> None:
    payload = contained(program(HUNGRY))
    payload["execution"]["resources"]["memory"] = "64MiB"
    task, _ = await outcome(runner, payload)
    assert task.failure.reason == v1.FAILURE_REASON_OUT_OF_MEMORY, task.failure
    assert task.failure.fault == v1.FAULT_TASK


async def test_a_child_that_ran_out_of_memory_is_not_the_tasks_end(runner: Supervisor) -> None:
    text = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {HUNGRY!r}])\nprint('on')"
    )
    payload = contained(program(text))
    payload["execution"]["resources"]["memory"] = "64MiB"
    task, output = await outcome(runner, payload)
    assert (task.state, output) == (v1.TASK_STATE_COMPLETED, b"on\n")


async def test_killed_by_itself_it_did_not_run_out_of_memory(runner: Supervisor) -> None:
    task, _ = await outcome(runner, running(["sh", "-c", "kill -9 $$"]))
    assert task.failure.reason == v1.FAILURE_REASON_SIGNAL
    assert task.attempts[0].signal == 9


FORKS = r"""
import os, time
made = 0
try:
    for _ in range(100):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        made += 1
except OSError:
    pass
print(made, flush=True)
os._exit(0)
"""


async def test_it_has_no_more_processes_than_it_was_granted(runner: Supervisor) -> None:
    payload = contained(program(FORKS))
    payload["execution"]["resources"]["processes"] = 20
    _, output = await outcome(runner, payload)
    assert 10 <= int(output) < 20


SPINS = r"""
import time
begun, used = time.monotonic(), time.process_time()
while time.monotonic() - begun < 2:
    pass
print((time.process_time() - used) / (time.monotonic() - begun))
"""


async def test_it_has_no_more_of_a_core_than_it_was_granted(runner: Supervisor) -> None:
    payload = contained(program(SPINS))
    payload["execution"]["resources"]["cpu"] = 0.25
    assert float(await said(runner, payload)) < 0.4


async def test_tmp_is_memory_and_counted_as_such(runner: Supervisor) -> None:
    text = "with open('/tmp/x', 'wb') as f:\n for _ in range(200): f.write(bytes(1 << 20))"
    payload = contained(program(text))
    payload["execution"]["resources"]["memory"] = "64MiB"
    task, _ = await outcome(runner, payload)
    assert task.state == v1.TASK_STATE_FAILED
    reasons = (v1.FAILURE_REASON_OUT_OF_MEMORY, v1.FAILURE_REASON_EXIT_CODE)
    assert task.failure.reason in reasons


REPORTS = """
mkdir out; echo 1 > out/a.txt; echo 2 > b
echo '{"fraction": 0.5, "step": "first"}' >> "$ENV_RUNNER_PROGRESS"
echo '{"value": "from inside", "metrics": {"n": 7}}' > "$ENV_RUNNER_RESULT"
"""


async def test_what_it_leaves_in_its_workspace_can_be_declared_beside_its_result(
    runner: Supervisor,
) -> None:
    payload = running(["sh", "-c", REPORTS])
    payload["artifacts"] = {"outputs": [{"path": "out/*.txt", "type": "text"}]}
    task, _ = await outcome(runner, payload)
    assert task.state == v1.TASK_STATE_COMPLETED, task.failure
    assert [each.path for each in task.result.outputs] == ["out/a.txt"]
    assert (task.result.value, task.result.metrics) == (b'"from inside"', {"n": 7})
    assert (task.progress.fraction, task.progress.step) == (0.5, "first")
    assert not task.warnings


async def test_many_at_once_are_kept_apart(runner: Supervisor) -> None:
    async def run(number: int) -> bytes:
        text = f"touch mine; echo {number}; ls | wc -l; ps | wc -l"
        return await said(runner, running(["sh", "-c", text]))

    found = await asyncio.gather(*map(run, range(8)))
    assert [int(each.split()[0]) for each in found] == list(range(8))
    assert {each.split()[1] for each in found} == {b"1"}


@pytest.mark.parametrize("image", ["localhost/env-runner-test/none:1"])
async def test_an_image_that_is_not_there_is_told_as_such(
    runner: Supervisor, its: Engine, served: Daemon, image: str
) -> None:
    payload = contained(running(["true"]), image)
    payload["execution"]["pull"] = "never"
    task, _ = await outcome(runner, payload)
    assert task.failure.reason == v1.FAILURE_REASON_IMAGE_PULL
    assert "pull: never" in task.failure.message
