"""Checks of the engines of containers: is one there, may it be used, what does it hold.

One is asked only what it is and what it can; nothing is made.
"""

from __future__ import annotations

import os
from pathlib import Path

from runner.config.model import Config, Container
from runner.doctor.finding import Finding, fail, ok, warn
from runner.executors.container.place import barred
from runner.executors.container.waking import without
from runner.ports import Readiness

_EXPECTED = "disk"  # no engine holds a workspace's size; the plan of each task says so


async def examine(config: Config) -> list[Finding]:
    """A finding for each of the two, `docker` and `podman`."""
    both = {"docker": config.docker, "podman": config.podman}
    state = config.state.directory
    if _is_one(config.docker, config.podman):
        found = f"{config.podman.socket} and {config.docker.socket} are one and the same engine"
        remedy = "switch one off, say executors.docker.enabled = false: each would have the other's"
        return [await _examine("docker", config.docker, state), fail("podman", found, remedy)]
    return [await _examine(name, one, state) for name, one in both.items()]


def _is_one(docker: Container, podman: Container) -> bool:
    """Whether both lead to one socket, as where a package makes Docker's a link to Podman's."""
    if not (docker.enabled and podman.enabled):
        return False
    try:
        return Path(docker.socket).samefile(podman.socket)
    except OSError:  # one of the two is not there
        return False


async def _examine(name: str, config: Container, state: Path) -> Finding:
    if not config.enabled:
        return ok(name, f"executors.{name} is not enabled")
    if not os.path.lexists(config.socket):  # noqa: ASYNC240 - a command's only look
        found = f"there is no socket {config.socket}: no task runs in a container of {name}"
        if name == "docker":  # on by default, and many hosts have none
            return ok(name, found)
        remedy = (
            f"start it (systemctl enable --now {name}.socket), or name its executors.{name}.url"
        )
        return fail(name, found, remedy)
    if problem := without(config.socket):
        remedy = (
            "let this user open the socket, which makes it equal to root where the engine is "
            "root's (docs/containers.md); or use rootless Podman"
        )
        return fail(name, problem, remedy)
    said = await _ask(name, config.socket)
    if said.ready and (problem := barred(state, said.user)):
        return fail(
            name, problem, "let others pass through it (chmod o+x), or use a state elsewhere"
        )
    return told(name, said)


async def _ask(name: str, socket: str) -> Readiness:
    from runner.executors.container import readiness  # noqa: PLC0415 - only where one is there
    from runner.executors.container.engine import Engine, EngineError  # noqa: PLC0415

    engine = Engine(name, socket)
    try:
        return (await readiness.ask(engine)).readiness
    except EngineError as error:
        return Readiness(ready=False, problem=str(error))
    finally:
        await engine.close()


def told(name: str, said: Readiness) -> Finding:
    """What an engine said of itself."""
    if not said.ready:
        return fail(name, said.problem, f"mend that, or switch it off: executors.{name}.enabled")
    found = "; ".join((said.version, *said.notes))
    lacking = [f"{kind}: {why}" for kind, why in said.unheld.items() if kind != _EXPECTED]
    if lacking:
        remedy = (
            "use a host with cgroup v2, or an engine that is root's; one that holds none is given "
            'no task, unless policy.limits_not_held = "allow"'
        )
        return warn(name, f"{found}; not held: {'; '.join(lacking)}", remedy)
    return ok(name, found)
