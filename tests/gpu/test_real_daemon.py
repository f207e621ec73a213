"""On a real NVIDIA GPU, where there is one (`-m gpu`): a whole daemon gives it to one task at a
time, through kill -9, beside a stranger's process, and after a program's own mistake."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from supervisor.client import Supervisor
from supervisor.v1 import supervisor_pb2 as v1
from tests.support.daemon import Daemon
from tests.support.gpu_daemon import GPU, all_free, gpu
from tests.support.gpu_ports import real_gpus
from tests.support.http import get
from tests.support.programs import PYTHON
from tests.support.verdicts import ended
from tests.support.waiting import until

pytestmark = [pytest.mark.gpu, pytest.mark.root]

PROGRAM = Path(__file__).parent / "cuda_program.py"
TASKS = 12
NO_DEVICE = "cuInit: error 100"
ILLEGAL_ADDRESS = "cuCtxSynchronize: error 700"
PATIENCE = 60  # seconds
NEVER = "/nowhere/go"

# Takes its device for itself as `flock` of it does, then becomes the program.
ALONE = """
import fcntl, os, sys
root, *sys.argv = sys.argv[1:]
device = os.environ["CUDA_VISIBLE_DEVICES"]
def note(name):
    with open(os.path.join(root, name), "a") as file:
        file.write(device + "\\n")
held = os.open(os.path.join(root, "of-" + device), os.O_CREAT | os.O_RDWR, 0o666)
try:
    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    note("met")
    sys.exit(99)
note("started")
exec(compile(open(sys.argv[0]).read(), sys.argv[0], "exec"), {"__name__": "__main__"})
"""


@pytest.fixture
async def uuids() -> list[str]:
    """Of the host's devices."""
    async with real_gpus() as found:
        return [each.uuid for each in found.last().devices]


@pytest.fixture
async def daemon(nothing_is_left: Path, uuids: list[str]) -> AsyncIterator[Daemon]:
    """One that looks at them: started, and all of them free."""
    assert uuids
    root = nothing_is_left / "d"
    root.mkdir()
    locks = str(root / "locks")
    made = Daemon(root, GPUS__LOCK_DIRECTORY=locks, HTTP__LISTEN="127.0.0.1:0")
    (made.markers / "cuda_program.py").write_text(PROGRAM.read_text())
    await made.start()
    yield made
    print(made.tail(20_000))  # noqa: T201 - shown where the test failed
    await made.close()


@pytest.fixture
async def runner(daemon: Daemon) -> AsyncIterator[Supervisor]:
    async with daemon.client() as client:
        await until(lambda: all_free(client), "the devices are free", PATIENCE)
        yield client


def payload(daemon: Daemon, *words: str) -> dict[str, object]:
    program = str(daemon.markers / "cuda_program.py")
    command = [PYTHON, "-c", ALONE, str(daemon.markers), program, *words]
    resources = {"cpu": 0.5, "memory": "4GiB"}
    return {"execution": {"command": command, "resources": resources}}


def lines(daemon: Daemon, name: str) -> list[str]:
    path = daemon.markers / name
    return path.read_text().splitlines() if path.exists() else []


def written(path: Path) -> Callable[[], bool]:
    return lambda: path.exists() and bool(path.read_text().strip())


async def metrics(daemon: Daemon) -> dict[str, float]:
    told = map(json.loads, daemon.log.read_text().splitlines())
    address = [line["address"] for line in told if line["event"] == "answering HTTP"][-1]
    page = (await get(str(address), "/metrics")).text.splitlines()
    rows = (line.rsplit(" ", 1) for line in page if line.startswith("env_runner_gpu"))
    return {name: float(value) for name, value in rows}


async def test_tasks_take_turns_on_a_device_through_kills_of_the_daemon_and_each_computes(
    daemon: Daemon, runner: Supervisor, uuids: list[str]
) -> None:
    names = [f"t{number}" for number in range(TASKS)]
    for name in names:
        await runner.assign(payload(daemon), task_class=GPU, task_id=name)
    for count in (2, 5, 8):
        await until(started(daemon, count), "they go on", 120)
        daemon.kill()
        await daemon.start()
    for name in names:
        task = await ended(runner, name)
        assert (task.state, task.attempts[-1].exit_code) == (v1.TASK_STATE_COMPLETED, 0), task
        assert len(task.attempts) == 1
        assert task.attempts[0].gpu_uuids[0] in uuids
        out = await printed(runner, name)
        assert json.loads(out) == list(task.attempts[0].gpu_uuids), "it sees its device alone"
    assert lines(daemon, "met") == []
    assert len(lines(daemon, "started")) == TASKS
    await until(lambda: all_free(runner), "all devices are free", PATIENCE)
    assert not [path for path in (daemon.root / "locks").iterdir() if path.stat().st_size]


def started(daemon: Daemon, count: int) -> Callable[[], bool]:
    return lambda: len(lines(daemon, "started")) >= count


async def printed(runner: Supervisor, name: str) -> bytes:
    streams = [v1.OUTPUT_STREAM_STDOUT]
    return b"".join([each.data async for each in runner.output(name, streams=streams)])


async def test_a_device_with_a_strangers_program_on_it_waits_for_that_to_end(
    daemon: Daemon, runner: Supervisor, uuids: list[str]
) -> None:
    place = daemon.root / "stranger"
    place.mkdir()
    with (place / "out").open("wb") as out:
        stranger = await asyncio.create_subprocess_exec(
            PYTHON,
            str(PROGRAM),
            "512",
            str(place / "go"),
            stdout=out,
            env={"PATH": "/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": uuids[0]},
        )
    await until(written(place / "out"), "it has its memory", PATIENCE)
    for uuid in uuids[1:]:  # the others are held
        await runner.assign(payload(daemon, "64", NEVER), task_class=GPU, task_id=f"holds-{uuid}")
    await until(lambda: refused(runner, uuids[0]), "it is told", PATIENCE)
    assert (await gpu(runner, uuids[0])).healthy, "a stranger is no fault of the device"
    await runner.assign(payload(daemon), task_class=GPU, task_id="waits")
    assert "no_gpu" in (await runner.plan(payload(daemon), task_class=GPU)).blocked_by
    assert (await runner.get("waits")).state == v1.TASK_STATE_PENDING
    assert stranger.returncode is None
    (place / "go").touch()
    assert await stranger.wait() == 0
    task = await ended(runner, "waits")
    assert task.state == v1.TASK_STATE_COMPLETED
    assert list(task.attempts[0].gpu_uuids) == uuids[:1]
    for uuid in uuids[1:]:
        await runner.cancel(f"holds-{uuid}")
    await until(lambda: all_free(runner), "all devices are free", PATIENCE)


async def refused(runner: Supervisor, uuid: str) -> bool:
    return bool((await gpu(runner, uuid)).problem)


async def test_a_programs_own_mistake_is_its_own_and_its_device_is_given_out_again(
    daemon: Daemon, runner: Supervisor
) -> None:
    """The driver tells of it with an Xid, which is no fault of the device."""
    await runner.assign(payload(daemon, "fault"), task_class=GPU, task_id="faulty")
    task = await ended(runner, "faulty")
    assert task.state == v1.TASK_STATE_FAILED
    assert task.failure.reason == v1.FAILURE_REASON_EXIT_CODE, task.failure
    assert ILLEGAL_ADDRESS in task.failure.stderr_tail
    await until(lambda: all_free(runner), "its device is well", PATIENCE)
    await runner.assign(payload(daemon), task_class=GPU, task_id="next")
    assert (await ended(runner, "next")).state == v1.TASK_STATE_COMPLETED
    await until(lambda: all_free(runner), "all devices are free", PATIENCE)


async def test_what_a_task_has_of_a_device_is_in_the_metrics_and_gone_after_it_was_killed(
    daemon: Daemon, runner: Supervisor, uuids: list[str]
) -> None:
    await runner.assign(payload(daemon, "1024", NEVER), task_class=GPU, task_id="holds")
    free = await metrics(daemon)
    assert free["env_runner_gpus"] == len(uuids)

    async def held() -> bool:
        now = await metrics(daemon)
        used = sum(value for name, value in now.items() if "memory_used" in name)
        was = sum(value for name, value in free.items() if "memory_used" in name)
        return now["env_runner_gpus_allocated"] == 1 and used - was >= 1 << 30

    await until(held, "its memory is told", PATIENCE)
    await runner.cancel("holds")
    assert (await ended(runner, "holds")).state == v1.TASK_STATE_CANCELLED
    await until(lambda: all_free(runner), "its memory is given back", PATIENCE)
    assert (await metrics(daemon))["env_runner_gpus_allocated"] == 0


async def test_a_task_of_another_class_finds_no_device(daemon: Daemon, runner: Supervisor) -> None:
    words = payload(daemon)
    command = words["execution"]["command"]  # type: ignore[index] # made above
    command[2:4] = [f"exec(open({str(daemon.markers / 'cuda_program.py')!r}).read())"]
    await runner.assign(words, task_class="cpu_short", task_id="none")
    task = await ended(runner, "none")
    assert task.state == v1.TASK_STATE_FAILED, task
    assert NO_DEVICE in task.failure.stderr_tail
    assert not task.attempts[0].gpu_uuids
