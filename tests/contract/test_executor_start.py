"""The executors' contract: an attempt is started once, or not at all, and as it was asked for."""

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest

from runner.domain.failure import Fault, Reason
from runner.executors.container.records import read_launch
from runner.ports import LaunchFailed
from tests.support.rig import Rig
from tests.support.waiting import until
from tests.support.workload import Workload


def unstartable(rig: Rig, fault: str) -> Workload | tuple[str, ...]:
    """A program that cannot be started, made below the rig's open directory."""
    if not rig.real:
        return Workload().then("no_start", f"the program is {fault}")
    path = rig.open / fault
    if fault == "a-directory":
        path.mkdir(exist_ok=True)
    elif fault != "absent":
        path.write_text("#!/no/such/interpreter\n")
        path.chmod(0o755 if fault == "orphaned" else 0o644)
    return (str(rig.there / fault),)


async def test_what_cannot_be_started_is_the_tasks_own_fault(rig: Rig) -> None:
    whose = (Reason.START, Fault.TASK, False)
    if rig.python:  # there it is the interpreter, which is not of the task's choosing
        whose = (Reason.EXECUTOR, Fault.SYSTEM, True)

    async def launch(fault: str, stdin: bytes | None) -> None:
        request = rig.request(unstartable(rig, fault), stdin=stdin)
        with pytest.raises(LaunchFailed) as raised:
            await rig.executor.launch(request)
        failure = raised.value.failure
        assert (failure.reason, failure.fault, failure.retryable) == whose
        assert fault in failure.message
        assert rig.processes(request) == []
        assert await rig.executor.adopt(request) is None
        await rig.executor.remove(request.name)

    for stdin in (None, b"x" * 70_000):
        faults = ("absent", "locked", "orphaned", "a-directory")
        await asyncio.gather(*(launch(fault, stdin) for fault in faults))


async def test_launched_twice_it_is_started_once(rig: Rig) -> None:
    request = rig.request(Workload().mark(str(rig.there / "marker")).exit(4))
    first = await rig.executor.launch(request)
    second = await rig.executor.launch(request)
    assert (first.start_time, first.handle.label) == (second.start_time, second.handle.label)
    assert (await rig.executor.wait(second.handle)).code == 4
    again = await rig.executor.launch(request)  # also when it has ended
    assert (await rig.executor.wait(again.handle)).code == 4
    assert starts(rig.open / "marker") == 1


async def test_launched_by_many_at_once_it_is_started_once(rig: Rig) -> None:
    request = rig.request(Workload().mark(str(rig.there / "marker")).exit(4))
    started = await asyncio.gather(*(rig.executor.launch(request) for _ in range(10)))
    assert len({s.handle.label for s in started}) == 1
    assert (await rig.executor.wait(started[0].handle)).code == 4
    assert starts(rig.open / "marker") == 1


async def test_the_environment_is_what_was_asked_for_and_nothing_else(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B20: values arrive byte for byte, and nothing of the daemon's own does."""
    monkeypatch.setenv("DAEMONS_OWN", "secret")
    values = {
        "QUOTED": '" A',
        "BACKSLASH": "\\\\",
        "NEWLINES": "one\ntwo\n",
        "OPTION": "--privileged\n--volume=/:/host",
        "EMPTY": "",
        "NOT_ASCII": "größe ☃",
        "LONG": "x" * 100_000,
    }
    ended = await rig.run(Workload().show_environment(), environment=values)
    lines = ended.output.stdout.decode().rstrip("\0").split("\0")
    found = dict(line.split("=", 1) for line in lines)
    assert {name: found.get(name) for name in values} == values
    allowed = {*values, "PATH", "HOME", "LANG", "TMPDIR"} | rig.added
    assert {name for name in found if not name.startswith("ENV_RUNNER_")} <= allowed


async def test_stdin_is_given_and_then_ends(rig: Rig) -> None:
    text = b"first\nsecond without end"
    ended = await rig.run(Workload().echo_stdin().exit(2), stdin=text)
    assert (ended.output.stdout, ended.exit.code) == (text, 2)


async def test_no_stdin_is_at_its_end_at_once(rig: Rig) -> None:
    ended = await rig.run(Workload().echo_stdin().exit(2))
    assert (ended.output.stdout, ended.exit.code) == (b"", 2)


async def test_a_mebibyte_of_stdin_that_nobody_reads_holds_nothing_up(rig: Rig) -> None:
    ended = await rig.run(Workload().write(b"done"), stdin=b"x" * (1 << 20))
    assert (ended.output.stdout, ended.exit.code) == (b"done", 0)


async def test_nothing_is_output_but_what_the_task_wrote_also_where_it_reads_no_stdin(
    rig: Rig,
) -> None:
    """Podman says what it could not write into the very stream, though not each time."""
    for size in (70_000, 300_000):
        ended = await rig.run(Workload().write(b"done"), stdin=b"x" * size)
        assert (ended.output.stdout, ended.output.stderr) == (b"done", b"")


async def test_what_has_had_its_stdin_may_write_as_much_to_stderr_as_it_likes(rig: Rig) -> None:
    """Engines hold a task up where nobody reads what comes beside its stdin."""
    workload = Workload().echo_stdin().sleep(0.2).fill(b"x" * 1000, 4000, 2).exit(3)
    ended = await rig.run(workload, stdin=b"in")
    assert (ended.output.stdout, ended.exit.code) == (b"in", 3)
    assert ended.output.stderr_sha256 == sha256(b"x" * 4_000_000).hexdigest()


async def test_a_mebibyte_of_stdin_arrives_whole(rig: Rig) -> None:
    text = bytes(range(256)) * 4096
    assert (await rig.run(Workload().echo_stdin(), stdin=text)).output.stdout == text


async def test_the_file_of_its_context_is_there_also_where_it_was_given_none(rig: Rig) -> None:
    if not rig.real:
        pytest.skip("cannot here: the fake executor has no files")
    ended = await rig.run(("/bin/sh", "-c", 'cat "$ENV_RUNNER_CONTEXT"'))
    assert ended.output.stdout == b"{}"


async def test_a_stdin_that_it_has_is_read_whole_under_the_next_daemon(rig: Rig) -> None:
    text, workload = b"x" * 60_000, Workload().sleep(0.2).echo_stdin()
    waits = f"until [ -e {rig.there}/go ]; do sleep 0.05; done; cat"
    request = rig.request(("/bin/sh", "-c", waits) if rig.real else workload, stdin=text)
    started = await rig.executor.launch(request)
    if rig.contained:
        home = rig.open.parent / "state" / "c" / request.name
        await until(lambda: (found := read_launch(home)) is not None and found.stdin, "it has it")
    await rig.next_daemon()
    (rig.open / "go").touch()
    ended = await rig.finish(request, started)
    assert (ended.output.stdout, ended.exit.code, ended.exit.interrupted) == (text, 0, "")


async def test_it_starts_in_a_directory_of_its_own(rig: Rig) -> None:
    first = (await rig.run(Workload().show_directory())).output.stdout
    second = (await rig.run(Workload().show_directory())).output.stdout
    assert first != second or first == b"/workspace"  # which the sandbox makes of its own one


async def test_a_working_directory_below_is_made_where_it_is_not_there(rig: Rig) -> None:
    ended = await rig.run(Workload().show_directory(), working_dir=rig.below("a/b c"))
    assert ended.output.stdout.endswith(b"/a/b c")
    assert ended.exit.code == 0


async def test_the_executor_says_that_it_is_ready_and_what_it_is(rig: Rig) -> None:
    readiness = await rig.executor.probe()
    assert (readiness.ready, readiness.problem) == (True, "")
    assert readiness.version
    assert ("docker" if rig.contained else "native") in readiness.modes
    assert ("python" in readiness.modes) == rig.real


def starts(marker: Path) -> int:
    """How often the task was really started."""
    return len(marker.read_text().splitlines())
