"""Configuration from a TOML file and variables, over the defaults. Every fault is told at once,
with where it stands: file and line, or the variable's name.

Variables are ENV_RUNNER_SECTION__KEY; those without "__" belong to others (ENV_RUNNER_ADDRESS),
where they are not called as a section is.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from runner.config import later, places, tenants
from runner.config.classes import over_limits
from runner.config.form import table
from runner.config.lines import lines
from runner.config.model import Config
from runner.config.variables import VariableFault, overlay
from runner.domain import paths
from runner.domain.refusal import quote
from runner.domain.shape import Faults, Record
from runner.domain.task import TaskClass
from runner.host import HostFacts, facts
from runner.planning.targets import OPTIONS

_LARGEST = 1024 * 1024  # bytes of a configuration file
_AT_LINE = re.compile(r" \(at line ([0-9]+), column [0-9]+\)$")
_AT_END = re.compile(r" \(at end of document\)$")


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One fault. `source` is a file or a variable; `line` is 0 where there is none."""

    source: str
    line: int
    key: str
    message: str

    def __str__(self) -> str:
        where = f"{self.source}:{self.line}" if self.line else self.source
        return f"{where}: {self.key}: {self.message}" if self.key else f"{where}: {self.message}"


class ConfigError(Exception):
    """The configuration can't be used; one line for each fault."""

    def __init__(self, faults: list[ConfigFault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Reading:
    """A configuration with what it was made from: the document with the variables in it, where
    each of its places (by pointer) was said, and the form it was read by."""

    config: Config
    tree: Mapping[str, Any]
    places: Mapping[str, tuple[str, int]]
    form: Record


def load(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    root: bool | None = None,
    host: HostFacts | None = None,
) -> Config:
    """The configuration. Raises ConfigError.

    Without a path the default file is read where it is there; a path that is given must be.
    `root` says whose default places are meant, by default those of this process; `host` is where
    it is to hold, by default here.
    """
    return read(path, environ, root=root, host=host).config


def read(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    root: bool | None = None,
    host: HostFacts | None = None,
) -> Reading:
    """Likewise, with what it was made from."""
    root = os.geteuid() == 0 if root is None else root
    source, text = _text(path)
    tree = _parse(source, text)
    found = {at: (str(source), line) for at, line in lines(text).items()}
    form = _form(environ, root=root)
    try:
        names = overlay(tree, environ, form)
    except VariableFault as error:
        raise ConfigError([ConfigFault(error.name, 0, error.key, error.message)]) from None
    found |= {at: (name, 0) for at, name in names.items()}

    faults = Faults()
    sections = form.read(tree, "", faults)
    if isinstance(sections["classes"], dict):  # it is what it may be
        for at, message in over_limits(sections["classes"], host or facts()):
            faults.add(at, "CONFLICT", message)
    if faults.found:
        raise ConfigError(
            [_located(fault.field, fault.message, found, source) for fault in faults.found]
        )
    notes = (*later.notes(tree), *tenants.notes(tree))
    config = _config(sections, notes, source if text or path else None)
    wrong = (*_granted_own(config), *_unmountable(config))
    if told := [_located(at, message, found, source) for at, message in wrong]:
        raise ConfigError(told)
    return Reading(config, tree, found, form)


def reference(environ: Mapping[str, str], *, root: bool = False) -> Record:
    """The form itself, with the defaults of this environment, to be listed or shown."""
    return _form(environ, root=root)


def _form(environ: Mapping[str, str], *, root: bool) -> Record:
    socket = places.runtime_directory(environ, root=root) / places.SOCKET
    return table(f"unix:{socket}", str(places.state_directory(environ, root=root)))


def _text(path: Path | None) -> tuple[Path, str]:
    source = path or places.CONFIG_FILE
    try:
        with source.open("rb") as file:
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise ConfigError([ConfigFault(str(source), 0, "", "is larger than 1 MiB")])
        return source, data.decode()
    except FileNotFoundError:
        if path is None:
            return source, ""
        raise ConfigError([ConfigFault(str(source), 0, "", "there is no such file")]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([ConfigFault(str(source), line, "", "is not UTF-8")]) from None
    except OSError as error:
        message = f"can't be read: {error.strerror or error}"
        raise ConfigError([ConfigFault(str(source), 0, "", message)]) from None


def _parse(source: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        if match := _AT_LINE.search(message):
            line = int(match[1])
        else:
            line = text.rstrip("\n").count("\n") + 1
        said = _AT_END.sub(", at the end of the file", _AT_LINE.sub("", message))
        fault = ConfigFault(str(source), line, "", f"is not TOML: {said}")
        raise ConfigError([fault]) from None
    except (ValueError, RecursionError) as error:  # a number too long, or nested without end
        fault = ConfigFault(str(source), 0, "", f"can't be read: {error}")
        raise ConfigError([fault]) from None


def _granted_own(config: Config) -> list[tuple[str, str]]:
    """Each granted host path that is the runner's own, with what to say of it."""
    found = []
    for i, root in enumerate(config.policy.host_paths):
        own = [place for place in config.own_places.places if paths.lies_below(root.path, place)]
        if own:
            message = f"{root.path} is the runner's own ({own[0]}): no task may be shown it"
            found.append((f"/policy/host_paths/{i}/path", message))
    return found


def _unmountable(config: Config) -> list[tuple[str, str]]:
    """The state directory where an engine could not mount what lies in it."""
    state = str(config.state.directory)
    return [
        ("/state/directory", f"{name} takes no path with a comma or a quote: {quote(state)}")
        for name in config.containers
        if any(sign in state for sign in OPTIONS.get(name, ""))
    ]


def _located(
    at: str, message: str, found: Mapping[str, tuple[str, int]], source: Path
) -> ConfigFault:
    """The fault where the key stands, or else the nearest that holds it."""
    key = at[1:].replace("/", ".").replace("~1", "/").replace("~0", "~")
    place = at
    if at not in found:  # a table may be there only for a variable that names a key in it
        place = next((inside for inside in found if inside.startswith(at + "/")), at)
    while place and place not in found:
        place = place.rpartition("/")[0]
    name, line = found.get(place, (str(source), 0))
    return ConfigFault(name, line, key, message)


def _config(sections: dict[str, Any], notes: tuple[str, ...], source: Path | None) -> Config:
    return Config(
        runner=sections["runner"],
        grpc=sections["grpc"],
        http=sections["http"],
        state=sections["state"],
        logging=sections["logging"],
        classes={name: sections["classes"][name.value] for name in TaskClass},
        tenants=sections["tenants"],
        local=sections["executors"]["local"],
        docker=sections["executors"]["docker"],
        podman=sections["executors"]["podman"],
        gpus=sections["gpus"],
        results=sections["results"],
        python=sections["python"],
        policy=sections["policy"],
        secrets=sections["secrets"],
        registries=sections["registries"],
        failpoints=sections["testing"]["failpoints"],
        notes=notes,
        source=source,
    )
