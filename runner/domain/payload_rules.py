"""Rules between the fields of a payload, told with the faults of its form.

Each is given a built value, the pointer of where it stands, and the faults found so far. What
is FAULTY in a list, or not said, is passed over: its own fault has been told.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from runner.domain import inline_metadata, paths
from runner.domain.document import FAULTY
from runner.domain.execution import Artifacts, Execution, PythonCall, Secret
from runner.domain.plan import Artifact, Mode
from runner.domain.pointer import below
from runner.domain.refusal import quote
from runner.domain.shape import Faults

_STRING = 131_072  # bytes of one argument or NAME=value with its NUL: MAX_ARG_STRLEN of Linux
_ENVIRONMENT = 256 * 1024  # bytes of all variables together

_MODES = {
    "native": ("local", "slurm", "ssh"),
    "python": ("local", "slurm", "ssh", "docker", "podman", "kubernetes"),
    "docker": ("docker", "podman", "kubernetes"),
}


def execution(asked: Execution, at: str, faults: Faults) -> None:
    """Everything between the keys of `execution` that needs no configuration."""
    _arguments(asked.entrypoint, below(at, "entrypoint"), faults)
    _arguments(asked.command, below(at, "command"), faults)
    _environment(asked.env, below(at, "env"), faults)
    _secrets(asked, at, faults)
    if faults.clear(below(at, "mode")):
        mode = said_mode(asked)
        if mode:
            needs(asked, mode, at, faults)


def said_mode(asked: Execution) -> Mode | None:
    """The mode that the payload itself decides; None where the class's image has a say."""
    if asked.mode:
        return Mode(asked.mode)
    if asked.python is not None:
        return Mode.PYTHON
    return Mode.DOCKER if asked.image else None


def needs(asked: Execution, mode: Mode, at: str, faults: Faults) -> None:
    """What a mode can't do without, and what has no meaning in it."""
    _fits(asked, mode, at, faults)
    _working_dir(asked, mode, at, faults)
    if mode is Mode.NATIVE:
        _program(asked, at, faults)
    elif mode is Mode.DOCKER:
        _first_word(asked, at, faults)
    elif mode is Mode.PYTHON:
        _call(asked, at, faults)


def _program(asked: Execution, at: str, faults: Faults) -> None:
    command = below(at, "command")
    if not faults.clear(command) or not faults.clear(below(at, "entrypoint")):
        return
    if not asked.argv:
        faults.add(command, "REQUIRED", "mode native needs a command or an entrypoint")
    else:
        _named(asked, at, faults)


def _first_word(asked: Execution, at: str, faults: Faults) -> None:
    """Of a container: where the payload has no entry point, the image's may come first."""
    said = faults.clear(below(at, "command")) and faults.clear(below(at, "entrypoint"))
    if said and asked.entrypoint is not None:
        _named(asked, at, faults)


def _named(asked: Execution, at: str, faults: Faults) -> None:
    if asked.argv and not asked.argv[0]:
        first = below(below(at, "entrypoint" if asked.entrypoint else "command"), 0)
        faults.add(first, "REQUIRED", "the first word names the program; it is empty")


def _call(asked: Execution, at: str, faults: Faults) -> None:
    if asked.python is None and faults.clear(below(at, "python")):
        message = "mode python needs python.entry_point or python.script"
        faults.add(below(at, "python"), "REQUIRED", message)
    for key, given in (("entrypoint", asked.entrypoint), ("command", asked.command)):
        if given:
            message = "mode python runs what is in execution.python, and takes no argv"
            faults.add(below(at, key), "CONFLICT", message)


def _working_dir(asked: Execution, mode: Mode, at: str, faults: Faults) -> None:
    path, where = asked.working_dir, below(at, "working_dir")
    if not path or (mode is Mode.PYTHON and asked.image):
        return  # in mode python with an image either form can be held
    if mode is Mode.DOCKER and not path.startswith("/"):
        message = f"in a container an absolute path is needed, not {quote(path)}"
        faults.add(where, "BAD_PATH", message)
    if mode is not Mode.DOCKER and path.startswith("/"):
        message = f"mode {mode} takes a path below the workspace, not {quote(path)}"
        faults.add(where, "BAD_PATH", message)


def _fits(asked: Execution, mode: Mode, at: str, faults: Faults) -> None:
    where = below(at, "executor")
    if not asked.executor or not faults.clear(where):
        return
    if asked.executor not in _MODES[mode]:
        message = f"executor {asked.executor} does not run mode {mode}"
        faults.add(where, "CONFLICT", message)
    elif mode is Mode.PYTHON and asked.executor in _MODES["docker"] and not asked.image:
        message = f"mode python on executor {asked.executor} needs an image"
        faults.add(below(at, "image"), "REQUIRED", message)


def _arguments(arguments: tuple[Any, ...] | None, at: str, faults: Faults) -> None:
    for i, argument in enumerate(arguments or ()):
        if argument is FAULTY:
            continue
        length = len(argument.encode()) + 1
        if length > _STRING:
            message = f"is {length - 1} bytes long; one argument has at most {_STRING - 1}"
            faults.add(below(at, i), "TOO_LARGE", message)


def _environment(env: dict[str, str], at: str, faults: Faults) -> None:
    total = 0
    for name, value in env.items():
        length = len(name) + len(value.encode()) + 2
        if length > _STRING:
            message = f"is {length - 1} bytes long as NAME=value; {_STRING - 1} at most"
            faults.add(below(at, name), "ENV_TOO_LARGE", message)
            continue
        if total <= _ENVIRONMENT < total + length:
            message = f"with it all variables take more than {_ENVIRONMENT} bytes"
            faults.add(below(at, name), "ENV_TOO_LARGE", message)
        total += length


def _secrets(asked: Execution, at: str, faults: Faults) -> None:
    taken = set(asked.env)
    files: set[tuple[str, ...]] = set()
    for i, one in _items(asked.secrets):
        here = below(below(at, "secrets"), i)
        if one.env and one.env in taken:
            faults.add(below(here, "env"), "CONFLICT", f"{quote(one.env)} is set twice")
        taken.add(one.env)
        path = tuple(paths.names(one.path))
        if path and path in files:
            faults.add(below(here, "path"), "CONFLICT", f"{quote(one.path)} is written twice")
        files.add(path)


def secret(asked: Secret, at: str, faults: Faults) -> None:
    """A secret is given in one way."""
    if asked.env and asked.path:
        faults.add(below(at, "path"), "CONFLICT", "either env or path, not both")
    if not asked.env and not asked.path and faults.clear(at):
        faults.add(below(at, "env"), "REQUIRED", "either env or path is needed")


def python_call(asked: PythonCall, at: str, faults: Faults) -> None:
    """Either a function or a program; arguments are for a function."""
    if not faults.clear(below(at, "entry_point")) or not faults.clear(below(at, "script")):
        return
    if asked.entry_point and asked.script is not None:
        faults.add(below(at, "script"), "CONFLICT", "either entry_point or script, not both")
    elif not asked.entry_point and asked.script is None:
        faults.add(below(at, "entry_point"), "REQUIRED", "either entry_point or script is needed")
    elif asked.script is not None and asked.arguments:
        message = "arguments are for an entry_point; a script takes none"
        faults.add(below(at, "arguments"), "CONFLICT", message)
    if asked.script is not None:
        _script_block(asked.script, below(at, "script"), faults)


def _script_block(script: str, at: str, faults: Faults) -> None:
    """What a script says that it needs is asked for as well."""
    try:
        inline_metadata.read(script)
    except inline_metadata.BadBlock as error:
        faults.add(at, "BAD_REFERENCE", f"the script {error}")


def artifact_input(asked: Artifact, at: str, faults: Faults) -> None:
    """A file has a name; only what is unpacked may be a directory."""
    if not asked.unpack and (fault := paths.relative_file(asked.path)):
        faults.add(below(at, "path"), *fault)
    if asked.uri.endswith("/") and not asked.uri.startswith("http"):
        faults.add(below(at, "uri"), "BAD_REFERENCE", "names a prefix; one object is meant")


def artifact_output(asked: Artifact, at: str, faults: Faults) -> None:
    """Many files go below a prefix or into one archive."""
    many = asked.path.endswith("/") or any(sign in asked.path for sign in "*?[")
    if many and asked.uri and not asked.uri.endswith(("/", ".tar")):
        message = "a glob or directory needs a uri that ends in '/' or in '.tar'"
        faults.add(below(at, "uri"), "CONFLICT", message)


def artifacts(asked: Artifacts, at: str, faults: Faults) -> None:
    """No two inputs at one place, none below another that is a file."""
    files: dict[tuple[str, ...], bool] = {}
    for i, one in _items(asked.inputs):
        here = below(below(below(at, "inputs"), i), "path")
        path = tuple(paths.names(one.path))
        above = [path[:n] for n in range(1, len(path))]
        if path in files or any(files.get(place) is False for place in above):
            faults.add(here, "CONFLICT", f"{quote(one.path)} is taken by another input")
        files[path] = one.unpack


def _items(items: Iterable[Any]) -> Iterable[tuple[int, Any]]:
    return ((i, item) for i, item in enumerate(items) if item is not FAULTY)
