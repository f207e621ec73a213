"""Generates the stubs of the contract in `supervisor/v1`, or says that they are stale.

`tools/protos.py` writes them; `tools/protos.py --check` changes nothing and exits 1 where
what is committed is not what the generator makes of `protos/`. The generator is the one of
the environment that runs this file; its version is what the stubs ask for at run time.
"""

from __future__ import annotations

import argparse
import sys
import sysconfig
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
PROTO = Path("supervisor/v1/supervisor.proto")


def generate(target: Path) -> None:
    """Write modules and type stubs below `target`. Raises SystemExit where protoc fails."""
    plugins = Path(sysconfig.get_path("scripts"))
    arguments = [
        "protoc",
        f"--proto_path={PROTOS}",
        f"--proto_path={files('grpc_tools') / '_proto'}",
        f"--plugin=protoc-gen-mypy={plugins / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
        str(PROTO),
    ]
    status = protoc.main(arguments)
    if status:
        raise SystemExit(status)


def stale() -> list[str]:
    """The generated files that are missing or differ from what the generator makes now."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch)
        generate(fresh)
        made = sorted(path.relative_to(fresh) for path in fresh.rglob("*.py*"))
        return [str(path) for path in made if not _equal(ROOT / path, fresh / path)]


def _equal(one: Path, other: Path) -> bool:
    return one.is_file() and one.read_bytes() == other.read_bytes()


def main() -> int:
    """Exit code 0, or 1 where --check found a stale file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 where stale")
    if not parser.parse_args().check:
        generate(ROOT)
        return 0
    found = stale()
    for path in found:
        sys.stderr.write(f"{path} is stale: run tools/protos.py and commit what it writes\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
