"""Checks of the host paths that are granted to tasks: is what nobody may mount among them."""

from __future__ import annotations

import os

from runner import ways
from runner.config.model import Config
from runner.doctor.finding import Finding, ok, warn
from runner.domain.paths import lies_below
from runner.links import linked
from runner.planning.grants import is_never

_ID = "policy.host_paths"


def granted(config: Config) -> list[Finding]:
    """One for each path that is not as its operator may think; nothing where none is granted."""
    roots = [root.path for root in config.policy.host_paths]
    found = [each for path in roots for each in _faults(path, config)]
    return found or ([ok(_ID, f"{', '.join(roots)}: nothing of the runner's own")] if roots else [])


def _faults(path: str, config: Config) -> list[Finding]:
    if inside := [place for place in config.own_places.places if lies_below(place, path)]:
        said = f"{path} holds what is the runner's own ({inside[0]}), and is itself denied to tasks"
        return [warn(_ID, said, "grant the directories below it that are meant")]
    if is_never(f"{path}/any"):
        said = f"{path} is never given to tasks, whatever is granted"
        return [warn(_ID, said, "take it out")]
    if is_never(path):
        said = f"{path} holds what is never given to tasks, and is itself denied to them"
        return [warn(_ID, said, "grant the directories below it that are meant")]
    if linked(path):
        said = f"{path} has a symbolic link on the way: every mount below it is denied"
        return [warn(_ID, said, "grant the path behind the link")]
    if config.containers and (where := _exchangeable(path, config)):
        said = f"{path} is given to no container: others than root may exchange what is in {where}"
        return [warn(_ID, said, "let root alone write there (docs/containers.md)")]
    return []


def _exchangeable(path: str, config: Config) -> str:
    """The directory on the way in which others may exchange things; empty where none is seen."""
    try:
        file, _ = ways.walk(path, ways.trusted(config.policy.host_paths))
    except ways.Exchangeable as error:
        return str(error)
    except OSError:
        return ""
    os.close(file)
    return ""
