"""Packages that tests make for themselves, in a directory that serves as a wheel house: no index is
asked. Wheels are plain archives with a table of contents; a source distribution builds itself, with
no build backend but its own."""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

_EXTENSION = r"""
#include <Python.h>
static PyObject *answer(PyObject *self, PyObject *nothing) { return PyLong_FromLong(42); }
static PyMethodDef methods[] = {{"answer", answer, METH_NOARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "native", "", -1, methods};
PyMODINIT_FUNC PyInit_native(void) { return PyModule_Create(&module); }
"""

_BACKEND = """
import os, sys, zipfile
def build_wheel(directory, config_settings=None, metadata_directory=None):
    {marker}
    name = "{name}-{version}-py3-none-any.whl"
    info = "{name}-{version}.dist-info/"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as wheel:
        wheel.writestr("{name}.py", "X = 'from source'")
        wheel.writestr(info + "METADATA", {metadata!r})
        wheel.writestr(info + "WHEEL", {about!r})
        wheel.writestr(info + "RECORD", "")
    return name
"""


def wheel(
    house: Path,
    name: str,
    version: str,
    files: Mapping[str, str | bytes],
    needs: Iterable[str] = (),
    *,
    tag: str = "py3-none-any",
) -> Path:
    """Make a wheel with these files."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {each}\n" for each in needs)
    about = f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n"
    whole = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": about}
    path = house / f"{name}-{version}-{tag}.whl"
    record = ""
    with zipfile.ZipFile(path, "w") as archive:
        for inside, content in whole.items():
            data = content.encode() if isinstance(content, str) else content
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record += f"{inside},sha256={digest},{len(data)}\n"
            archive.writestr(inside, data)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def source(house: Path, name: str, version: str, marker: str = "pass") -> Path:
    """Make a source distribution; `marker` is a statement that its build executes."""
    files = {
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "back"\n'
        f'backend-path = ["."]\n[project]\nname = "{name}"\nversion = "{version}"\n',
        "back.py": _BACKEND.format(
            name=name,
            version=version,
            marker=marker,
            metadata=f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
            about="Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        ),
    }
    path = house / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for inside, text in files.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{inside}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def extension(house: Path, python: str, scratch: Path) -> str:
    """Make a wheel with an extension in C, for that interpreter; why it cannot be had here, else
    empty."""
    code = (
        "from sysconfig import get_config_var as v, get_path as p;"
        "print(p('include'), v('EXT_SUFFIX'), v('py_version_nodot'))"
    )
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    include, suffix, digits = said.stdout.split()
    compiler = shutil.which("gcc")
    if compiler is None or not Path(include, "Python.h").exists():
        return "there is no compiler, or no headers of Python: apt-get install gcc python3-dev"
    text, made = scratch / "native.c", scratch / "native.so"
    text.write_text(_EXTENSION)
    command = [compiler, "-shared", "-fPIC", f"-I{include}", str(text), "-o", str(made)]
    subprocess.run(command, check=True)
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    files = {f"native{suffix}": made.read_bytes()}
    wheel(house, "native", "1.0", files, tag=f"cp{digits}-cp{digits}-{platform}")
    text.unlink()
    made.unlink()
    return ""


def usual(house: Path) -> None:
    """What most tests ask for: `alpha` 1 and 2, `beta` that needs the first of them, and `gamma`,
    of which there is a source distribution alone."""
    for version in ("1.0", "2.0"):
        wheel(house, "alpha", version, {"alpha/__init__.py": f"X = {version}\n", "alpha/a.py": ""})
    wheel(house, "beta", "1.0", {"beta.py": "import alpha\nX = alpha.X\n"}, ["alpha<2"])
    source(house, "gamma", "1.0")
