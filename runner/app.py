"""The one place that knows everybody: a runner put together, and a daemon's life around it.

`serve` is the daemon; `local_runner` the same runner for one command, in a directory of its
own that goes with it. What each part does is in its package; here is only the order in which
they begin and end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner import __version__, failpoints, gpus, interpreters
from runner.config import Config, ConfigError, beyond_host, rules
from runner.containers import Containers
from runner.edges.rpc.listen import AddressTaken, BadAddress
from runner.edges.rpc.server import RpcServers, RpcSettings
from runner.engine.clock import SystemClock
from runner.engine.service import Engine
from runner.executors.local import LocalExecutor
from runner.executors.local.dismissal import dismiss
from runner.executors.local.options import keeper_options
from runner.executors.python.executor import Planned, PythonExecutor
from runner.host import facts
from runner.links import on_this_host
from runner.notify import notify, reloading, stay_alive
from runner.planning.policy import Rules
from runner.ports import Executor, JournalBroken, JournalUnavailable, Observer
from runner.process import leave_in_time, prepare
from runner.pythons import begin
from runner.settings import engine_settings, granted_to_keeper, listeners, no_environments
from runner.signals import Signals
from runner.storage.journal import JournalDamaged, SqliteJournal, StateLocked, open_journal
from runner.storage.output import FileOutput
from runner.telemetry.log import Log, open_log
from runner.telemetry.observer import LogObserver
from runner.web import Asked, Web, unasked, web

OK, FAILED, IN_USE, BAD_CONFIG = 0, 1, 75, 78
"""Exit codes of `serve`: the last two as in sysexits.h (EX_TEMPFAIL, EX_CONFIG)."""

_AT_START = (
    "runner",
    "grpc",
    "http",
    "state",
    "logging",
    "local",
    "docker",
    "podman",
    "gpus",
    "results",
    "python",
    "secrets",
    "registries",
)  # fmt: skip - sections that a reload cannot change

_CALL_GRACE = 1.0  # seconds for calls under way when the daemon stops


class Misconfigured(Exception):
    """The configuration names what this host does not have; the message says what."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A runner that has taken in what was there before, and may serve."""

    engine: Engine
    local: LocalExecutor
    rules: Callable[[Config], Rules]  # what another configuration would come to here
    journal: SqliteJournal


def serve(config: Config, reload: Callable[[], Config]) -> int:
    """Run the daemon until it is told to stop; returns its exit code.

    `reload` reads the configuration again, or raises ConfigError. What keeps the daemon from
    serving is one line on stderr.
    """
    prepare()
    try:
        log = open_log(config.logging.level, config.logging.format, config.logging.directory)
    except OSError as error:
        return _left(None, f"the log cannot be written: {error}", BAD_CONFIG)
    try:
        if config.failpoints:
            failpoints.activate(os.environ.get(failpoints.VARIABLE, ""))
        return asyncio.run(_serve(config, reload, log))
    except (AddressTaken, StateLocked) as error:
        return _left(log, error, IN_USE)
    except (BadAddress, JournalDamaged, Misconfigured, ValueError) as error:
        return _left(log, error, BAD_CONFIG)
    except (JournalUnavailable, JournalBroken) as error:
        return _left(log, error, FAILED)


@contextlib.asynccontextmanager
async def local_runner(config: Config) -> AsyncIterator[str]:
    """A runner for one command, under the configuration's policy; yields its address.

    State, socket and keeper are its own and are gone afterwards. Raises Misconfigured, and
    what opening a journal raises.
    """
    quiet = LogObserver(open_log("error", "console"))
    with _directory() as home:
        own = replace(
            config,
            state=replace(config.state, directory=home / "state"),
            grpc=replace(config.grpc, listen=(f"unix:{home}/s.sock",), sockets=()),
            local=replace(config.local, keeper_socket="", keeper_root="", start_keeper=True),
            apart=tuple(map(Path, config.own_places.places)),  # a daemon's, which may be there
        )
        servers = RpcServers(listeners(own), quiet, RpcSettings())
        servers.claim()
        try:
            # killed, the command can do nothing of what follows: then its keeper does
            options = ("--forsaken", str(home), "--no-ahead")
            async with _runner(own, quiet, goes_with=options) as runner:
                try:
                    if config.local.enabled and (problem := runner.local.said().problem):
                        raise Misconfigured(problem)  # nobody would mend it meanwhile
                    yield (await servers.start(runner.engine))[0]
                finally:
                    await _stop(servers, runner.engine)
                    await dismiss(runner.local)
        finally:
            await servers.stop(0)


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="env-runner-") as name:
        home = Path(name)
        home.chmod(0o711)  # tasks that run as others must get at what is theirs below it
        yield home


async def _serve(config: Config, reload: Callable[[], Config], log: Log) -> int:
    shown = web(config, LogObserver(log))
    observer = shown.observer
    for line in config.notes:
        log.warning("configuration key without effect", note=line)
    for line in beyond_host(config, facts()):
        log.warning("more configured than the host has", note=line)
    settings = RpcSettings(
        max_calls=config.grpc.max_calls,
        max_connections=config.grpc.max_connections,
        insecure=config.grpc.insecure,
    )
    servers = RpcServers(listeners(config), observer, settings, shown.call_ended)
    servers.claim()  # before anything of another daemon's is touched
    running: list[Runner] = []
    signals = Signals(lambda: _reload(config, reload, running, log, shown))
    signals.install()
    stop = asyncio.create_task(signals.stop(), name="stop")
    alive = asyncio.create_task(stay_alive(), name="alive")
    code = OK
    try:
        shown.claim()
        if address := await shown.start():  # before the state is looked at: that may take long
            log.info("answering HTTP", address=address)
        async with contextlib.AsyncExitStack() as stack:
            begun = _runner(config, observer, shown.executor, shown.asked)
            runner = await _unless(stop, stack.enter_async_context(begun))
            if runner is None:
                return OK
            running.append(runner)
            host = runner.rules(config).host
            log.info(
                "host",
                cpu_cores=host.cpu_cores,
                memory_bytes=host.memory_bytes,
                sandbox=host.level,
                why=host.why,
                not_held=dict(host.unheld),
                notes=host.notes,
            )
            link = await shown.begin(runner.engine, runner.journal)
            addresses = await servers.start(runner.engine, link)
            log.info("serving", addresses=addresses, version=__version__, pid=os.getpid())
            notify("READY=1")
            broken = asyncio.create_task(runner.engine.broken(), name="broken")
            await asyncio.wait({stop, broken}, return_when=asyncio.FIRST_COMPLETED)
            if broken.done():
                log.error("the journal failed", problem=str(broken.result()))
                code = FAILED
            broken.cancel()
            leave_in_time(code)
            notify("STOPPING=1")
            log.info("stopping")
            await _stop(servers, runner.engine)
    finally:
        stop.cancel()
        alive.cancel()
        signals.remove()
        await servers.stop(0)
        await shown.stop()
    log.info("stopped")
    return code


async def _stop(servers: RpcServers, engine: Engine) -> None:
    """Refuse new calls, end streams, then the connections. Tasks run on."""
    await servers.stop_taking()
    await engine.close()
    await servers.stop(_CALL_GRACE)


@contextlib.asynccontextmanager
async def _runner(
    config: Config,
    observer: Observer,
    timed: Callable[[Executor], Executor] = lambda each: each,
    asked: Asked = unasked,
    goes_with: tuple[str, ...] = (),
) -> AsyncIterator[Runner]:
    """Journal, executor and engine, recovered; closed in the opposite order. `goes_with` are
    more options of the keeper."""
    host = facts()
    directory = config.state.directory
    if not directory.exists():
        directory.mkdir(parents=True)
        directory.chmod(0o711)  # see `local_runner`
    journal = await open_journal(directory, reserve=config.state.reserve)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(journal.close)
        local = _local(config, journal.epoch, journal.journal_id, observer, goes_with)
        stack.push_async_callback(local.close)
        beyond = local.look_into if config.local.enabled else None
        containers = Containers(
            config, host, observer.note, asked, alone=bool(goes_with), beyond=beyond
        )
        engines = containers.executors
        for each in engines.values():
            stack.push_async_callback(each.close)
        seen = gpus.seen(observer.note)
        stack.push_async_callback(seen.close)
        pythons = await interpreters.there(config)
        for path, problem in pythons.problems.items():
            observer.note("interpreter not used", path=path, problem=problem)
        if config.local.enabled:
            await local.probe()
        latest, made = [config], list[Engine]()

        required = await begin(config, host, local, observer.note)
        stack.push_async_callback(required.close)

        def ruled(by: Config) -> Rules:
            # what needs a restart is as it was, also for planning
            by = replace(by, **{name: getattr(config, name) for name in _AT_START})
            latest[0] = by
            said = {name: one.said() for name, one in engines.items()}
            devices = made[0].devices.count if made else 0
            made_of = rules(
                by,
                host,
                local.said(),
                said,
                devices,
                interpreters=pythons.versions,
                no_environments=no_environments(by),
            )
            return containers.ruled(on_this_host(made_of))

        output = FileOutput()
        stack.callback(output.close)
        engine = Engine(
            journal,
            {
                **(
                    {"local": timed(PythonExecutor(local, required))}
                    if config.local.enabled
                    else {}
                ),
                **{name: timed(PythonExecutor(one, Planned())) for name, one in engines.items()},
            },
            output,
            SystemClock(),
            observer,
            ruled(config),
            engine_settings(config, host),
            reserve_out=lambda: journal.reserve_out,
            gpus=seen,
            driver_load=gpus.driver_load,
            guard=gpus.locks(config, journal, host.boot_id, alone=bool(goes_with)),
        )
        made.append(engine)
        stack.push_async_callback(engine.close)
        await engine.start()

        # a keeper that is there later, or another than before, may hold more or less, and the
        # devices may be others
        def again() -> None:
            engine.rule_by(ruled(latest[0]))

        local.changed = engine.devices.counted = again
        for one in engines.values():
            one.changed = again
        again()  # by what they have said meanwhile
        yield Runner(engine, local, ruled, journal)


def _local(
    config: Config, epoch: int, journal_id: str, observer: Observer, goes_with: tuple[str, ...]
) -> LocalExecutor:
    """The executor, and the keeper where it is to start one."""
    user = _user(config.local.user)
    socket = Path(config.local.keeper_socket) if config.local.keeper_socket else None
    return LocalExecutor(
        config.keeper_root,
        socket,
        epoch,
        user,
        start_keeper=config.local.start_keeper,
        note=observer.note,
        journal_id=journal_id,
        keeper_options=(
            *keeper_options(
                config.local.sandbox or "",
                user,
                config.local.users,
                config.local.view,
                granted_to_keeper(config),
                root=os.geteuid() == 0,
            ),
            *goes_with,
        ),
        sandbox=config.local.sandbox or "",
    )


def _user(name: str) -> tuple[int, int] | None:
    """The ids of a user given by name or as uid:gid; None where none is."""
    if not name:
        return None
    uid, colon, gid = name.partition(":")
    if colon:
        return int(uid), int(gid)
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise Misconfigured(f"executors.local.user: there is no user {name!r} here") from None
    return entry.pw_uid, entry.pw_gid


def _reload(
    config: Config, reload: Callable[[], Config], running: list[Runner], log: Log, shown: Web
) -> None:
    """Admit by the configuration as it is now; one that cannot be read changes nothing."""
    notify(reloading())
    try:
        fresh = reload()
    except ConfigError as error:
        problem = "; ".join(map(str, error.faults))
    else:
        problem = ""
        for runner in running:
            runner.engine.rule_by(runner.rules(fresh))
    shown.reloaded(good=not problem)
    if problem:
        log.error("configuration not reloaded", problem=problem)
    else:
        later = [name for name in _AT_START if getattr(fresh, name) != getattr(config, name)]
        if config.local.enabled and fresh.policy.host_paths != config.policy.host_paths:
            later.append("policy.host_paths")  # for local tasks: their keeper was told at its start
        log.info("configuration reloaded", needs_restart=later)
    notify("READY=1")


async def _unless(stop: asyncio.Task[None], work: Coroutine[Any, Any, Runner]) -> Runner | None:
    """What the work yields; None, and the work is cancelled, where the stop comes first."""
    task = asyncio.create_task(work, name="start")
    await asyncio.wait({stop, task}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        leave_in_time(OK)  # opening a journal that is locked is not to be cut short
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return None
    return task.result()


def _left(log: Log | None, problem: object, code: int) -> int:
    """Say in one line why there is no daemon."""
    line = " ".join(str(problem).split())
    if log is None or sys.stderr.isatty():
        sys.stderr.write(f"env-runner: {line}\n")
    else:
        log.error("cannot serve", problem=line)
    return code
