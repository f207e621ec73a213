"""The program of a build: has uv resolve or install, and writes what came of it to stdout.

It is read as text and run by the interpreter that the environment is for, from 3.8 on, with the
standard library alone; the runner never imports it. What to do is in the file that
ENV_RUNNER_CONTEXT names. To stdout goes the lock, or a tar archive of the environment; to stderr
what uv says. It exits with uv's own code where that failed, else as `building.py` has it.
"""

from __future__ import annotations

import compileall
import json
import os
import py_compile
import subprocess
import sys
import tarfile

NO_UV = 70
ENVIRONMENT = "environment"
_AT_ONCE = 2  # files that are compiled


def main() -> None:
    """Do what is asked for."""
    with open(os.environ["ENV_RUNNER_CONTEXT"], encoding="utf-8") as file:  # noqa: PTH123
        asked = json.load(file)
    home = os.environ["HOME"]
    os.chdir(home)
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR")}
    # beside the environment, so that files are linked and not copied
    variables = {**kept, **asked["variables"], "UV_CACHE_DIR": home + "/cache"}
    out = os.dup(1)
    os.dup2(2, 1)  # what anything prints is no lock and no archive
    with open("requirements.txt", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write(asked["requirements"])
    for arguments in asked["commands"]:
        _uv(asked["uv"], arguments, variables)
    with os.fdopen(out, "wb") as stream:
        if asked["archive"]:
            _compile(home)
            with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                archive.add(ENVIRONMENT, ".", filter=_plain)
        else:
            with open("lock.txt", "rb") as lock:  # noqa: PTH123
                stream.write(lock.read())


def _uv(program: str, arguments: list[str], variables: dict[str, str]) -> None:
    try:
        done = subprocess.run([program, *arguments], env=variables, check=False)
    except OSError as error:
        sys.stderr.write(f"error: uv cannot be run ({program}): {error.strerror}\n")
        sys.exit(NO_UV)
    if done.returncode != 0:
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)


def _compile(home: str) -> None:
    """Now, since nobody can later; by the interpreter as it is, so that nothing that was installed
    is executed for it. Files that are no Python are told by uv's kind of packages often enough."""
    compileall.compile_dir(
        os.path.join(home, ENVIRONMENT, "lib"),  # noqa: PTH118
        maxlevels=64,
        quiet=2,
        workers=_AT_ONCE,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Nobody's in particular."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


if __name__ == "__main__":
    main()
