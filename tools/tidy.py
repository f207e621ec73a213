"""Checks of the tree that no linter has: length of files, loose ends, names of this machine.

A clone is to work anywhere: no file may name the host of a package index or a path of the
machine that it was written on. Which those are is asked of pip, npm, apt and git here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 400  # lines; a file holds one idea
GENERATED = re.compile(r"_pb2(_grpc)?\.pyi?$")
LOOSE = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b|NotImplemented" r"Error")
ORDINARY = {"/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/tmp"}  # noqa: S108 - compared, not used


def main() -> int:
    """Exit code 0, or 1 with a line for each fault."""
    faults = list(_faults())
    for fault in faults:
        sys.stderr.write(fault + "\n")
    return 1 if faults else 0


def _faults() -> Iterator[str]:
    hosts = index_hosts()
    places = machine_paths()
    for name in _run("git", "ls-files", "--cached", "--others", "--exclude-standard").split("\n"):
        path = ROOT / name
        if not name or not path.is_file():
            continue
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:
            continue  # binary: the contract's baseline
        generated = GENERATED.search(name)
        if name.endswith((".py", ".sh")) and len(lines) > LONGEST and not generated:
            yield f"{name}: {len(lines)} lines; at most {LONGEST}: split it by ideas"
        for number, line in enumerate(lines, 1):
            if name.endswith(".py") and not generated and LOOSE.search(line):
                yield f"{name}:{number}: a loose end: {line.strip()[:60]}"
            yield from (
                f"{name}:{number}: names {what}" for what in (*hosts, *places) if what in line
            )


def index_hosts() -> set[str]:
    """The hosts from which packages come on this machine, and pip's own default."""
    said = [_run(sys.executable, "-m", "pip", "config", "list")]
    code = "from pip._internal.models.index import PyPI as p; print(p.url, p.file_storage_domain)"
    said.append(_run(sys.executable, "-c", code).replace(" ", " https://"))
    if shutil.which("npm"):
        said.append(_run("npm", "config", "get", "registry"))
    said += [value for key, value in os.environ.items() if re.match(r"(?i)(pip|uv|npm)_", key)]
    apt = Path("/etc/apt")
    for path in [*apt.glob("sources.list"), *apt.glob("sources.list.d/*")]:
        said.append(path.read_text(errors="replace"))
    urls = re.findall(r"https?://(?:[^/@\s\"']*@)?([^/:\s\"']+)", "\n".join(said))
    return {host for host in urls if "." in host}


def machine_paths() -> set[str]:
    """Where this clone lies, unless that is a place that every machine has."""
    return {f"{place}/" for place in (ROOT, ROOT.parent) if str(place) not in ORDINARY}


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
