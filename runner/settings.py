"""What the configuration comes to for parts that do not read it: the engine, and who listens."""

from __future__ import annotations

import os
from pathlib import Path

from runner import __version__, environments
from runner.config import Config
from runner.edges.rpc.listen import Listener
from runner.engine.reports import ReportLimits
from runner.engine.settings import Settings
from runner.host import HostFacts


def engine_settings(config: Config, host: HostFacts) -> Settings:
    """Those of the engine."""
    state = config.state
    return Settings(
        runner_id=config.runner.id or host.hostname,
        version=__version__,
        boot_id=host.boot_id,
        state_directory=state.directory,
        output_directory=config.keeper_root if config.local.enabled else None,
        retention=state.retention,
        event_retention=state.event_retention,
        id_retention=state.id_retention,
        min_free_bytes=state.min_free.size,
        min_free_share=state.min_free.fraction,
        queue_bytes=config.runner.queue_memory,
        gpu_idle_memory=config.gpus.idle_memory,
        reports=ReportLimits(config.results.size, config.results.progress_line),
    )


def environment_settings(config: Config, host: HostFacts) -> environments.Settings:
    """Those of Python tasks' environments; a build has its share of this host at most."""
    python = config.python
    return environments.Settings(
        directory=Path(os.path.realpath(config.environments)),  # a keeper follows no links
        uv=python.uv,
        index=python.index,
        login=python.index_login,
        wheel_houses=python.wheel_houses,
        source_builds=python.source_builds,
        budget=python.budget,
        size=python.size,
        memory=min(python.build_memory, host.memory_bytes // 4),
        disk=min(python.build_disk, host.memory_bytes // 2),
        cpu=min(python.build_cpu, host.cpu_cores),
        timeout=python.build_timeout,
        at_once=python.builds,
    )


def no_environments(config: Config) -> str:
    """Why requirements of Python tasks cannot be had here; empty where they can."""
    python = config.python
    if not (python.index or python.wheel_houses):
        return "no packages are to be had (python.index, python.wheel_houses)"
    return "" if environments.uv(python.uv) else "uv is not installed (the extra `python`)"


def granted_to_keeper(config: Config) -> list[tuple[str, bool]]:
    """What a keeper must be able to show of the host, and whether it may be written to: what policy
    grants; environments, to tasks; and to builds uv and the directories with packages."""
    uv = environments.uv(config.python.uv)
    found = [str(config.environments), *([uv] if uv else []), *config.python.wheel_houses]
    return [
        *((each.path, each.writable) for each in config.policy.host_paths),
        *((os.path.realpath(path), False) for path in found),
    ]


def listeners(config: Config) -> list[Listener]:
    """Where gRPC is answered, and as whom callers count there."""
    return [
        *(Listener(address) for address in config.grpc.listen),
        *(Listener(f"unix:{each.path}", each.principal) for each in config.grpc.sockets),
    ]
