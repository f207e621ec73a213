"""What the configuration comes to for parts that do not read it: the engine, and who listens."""

from __future__ import annotations

from runner import __version__
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


def listeners(config: Config) -> list[Listener]:
    """Where gRPC is answered, and as whom callers count there."""
    return [
        *(Listener(address) for address in config.grpc.listen),
        *(Listener(f"unix:{each.path}", each.principal) for each in config.grpc.sockets),
    ]
