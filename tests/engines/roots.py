"""What is in the images of the tests: busybox, and this host's own Python with its library.

Nothing is fetched: busybox is a package of the host (static), Python is that of Debian, with
every library it is linked against. The paths are those that tests name on a host, too.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from tests.engines.oci import add

BUSYBOX = Path("/bin/busybox")
PYTHON = Path("/usr/bin/python3")

PASSWD = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n"
GROUP = b"root:x:0:\nnogroup:x:65534:\n"

_UNUSED = {"__pycache__", "test", "idlelib", "lib2to3", "pydoc_data", "ensurepip", "distutils"}


def busybox(tar: tarfile.TarFile) -> None:
    """A small system: all of busybox's commands below /bin and /usr/bin."""
    for name, mode in (("usr/bin", 0o755), ("etc", 0o755), ("root", 0o700), ("tmp", 0o1777)):
        _directory(tar, name, mode)
    for name in ("dev", "proc", "sys"):
        _directory(tar, name, 0o755)
    for name in ("bin", "sbin", "lib", "lib64"):
        _link(tar, name, f"usr/{name}")
    for name in ("usr/sbin", "usr/lib", "usr/lib64"):
        _directory(tar, name, 0o755)
    add(tar, "etc/passwd", PASSWD)
    add(tar, "etc/group", GROUP)
    add(tar, "usr/bin/busybox", BUSYBOX.read_bytes(), 0o755)
    for command in _said(str(BUSYBOX), "--list").split():
        if command != "busybox":
            _link(tar, f"usr/bin/{command}", "busybox")


def python(tar: tarfile.TarFile) -> None:
    """The same and the host's Python, as /usr/bin/python3."""
    busybox(tar)
    program = PYTHON.resolve()
    library = Path("/usr/lib", program.name)
    add(tar, f"usr/bin/{program.name}", program.read_bytes(), 0o755)
    _link(tar, "usr/bin/python3", program.name)
    for path in _library(library):
        tar.add(path, str(path).lstrip("/"), recursive=False, filter=_of_root)
    extensions = [str(path) for path in (library / "lib-dynload").glob("*.so")]
    for path in _linked([str(program), *extensions]):
        # By the name it is asked for, as the file that this leads to; /lib is a link in here.
        name = str(path).lstrip("/").removeprefix("usr/")
        add(tar, f"usr/{name}", path.read_bytes(), 0o755)


def reason_against() -> str:
    """Why these images cannot be made here; empty where they can."""
    if not BUSYBOX.exists():
        return f"{BUSYBOX} is not there; its package is busybox-static"
    return "" if PYTHON.exists() else f"{PYTHON} is not there; its package is python3"


def _library(root: Path) -> Iterator[Path]:
    for at, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in _UNUSED and not n.startswith("config-"))
        yield Path(at)
        yield from (path for path in (Path(at, name) for name in sorted(files)) if path.is_file())


def _linked(programs: list[str]) -> list[Path]:
    said = _said("ldd", *programs)
    return sorted({Path(path) for path in re.findall(r"(?:=> |^\t)(/\S+)", said, re.MULTILINE)})


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    about = tarfile.TarInfo(name)
    about.type, about.mode = tarfile.DIRTYPE, mode
    tar.addfile(about)


def _link(tar: tarfile.TarFile, name: str, to: str) -> None:
    about = tarfile.TarInfo(name)
    about.type, about.linkname, about.mode = tarfile.SYMTYPE, to, 0o777
    tar.addfile(about)


def _of_root(about: tarfile.TarInfo) -> tarfile.TarInfo:
    about.uid = about.gid = 0
    about.uname = about.gname = "root"
    return about
