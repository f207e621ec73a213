"""A host that has GPUs, as far as their device nodes go: a /dev and a /proc/devices of a process's
own, seen by what it starts and by nobody else.

`Nodes.prefix` is the command that goes on as another one in there. Nobody drives these devices: to
open one is ENXIO where that is allowed, and EPERM where it is not.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path

from runner.keeper import mounting

MAJOR, UVM = 240, 241  # kept for local use by the kernel
USUAL = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1"}
_MS_BIND, _MS_REC = 4096, 16384


@dataclass
class Nodes:
    """By name in /dev: what kind of file, its major and minor. `place` is an empty directory;
    `user` whom to become once all is made, 0 to stay root."""

    place: Path
    kinds: dict[int, str] = field(default_factory=lambda: {MAJOR: "nvidia", UVM: "nvidia-uvm"})
    files: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    user: int = 0

    def gpus(self, count: int) -> Nodes:
        """So many whole ones, with what they share."""
        self.files |= {f"nvidia{n}": (stat.S_IFCHR, MAJOR, n) for n in range(count)}
        self.files["nvidiactl"] = (stat.S_IFCHR, MAJOR, 255)
        self.files["nvidia-uvm"] = (stat.S_IFCHR, UVM, 0)
        self.files["nvidia-uvm-tools"] = (stat.S_IFCHR, UVM, 1)
        return self

    @property
    def prefix(self) -> list[str]:
        """Before a command."""
        told = {
            "place": str(self.place),
            "kinds": {str(major): name for major, name in self.kinds.items()},
            "files": self.files,
            "user": self.user,
        }
        return [sys.executable, str(Path(__file__)), json.dumps(told)]


def main() -> None:
    """Make them, and go on as the command."""
    told = json.loads(sys.argv[1])
    mounting.have_own()
    made = Path(told["place"])
    mounting._mount("tmpfs", str(made), "tmpfs", 0, "mode=0755")
    for name in USUAL:
        node(made / name, stat.S_IFCHR, Path("/dev", name).stat().st_rdev)
    for name, (kind, major, minor) in told["files"].items():
        node(made / name, kind, os.makedev(major, minor))
    for name, target in LINKS.items():
        (made / name).symlink_to(target)
    lines = "".join(f"{major} {name}\n" for major, name in told["kinds"].items())
    kinds = made / ".devices"
    head, _, rest = Path("/proc/devices").read_text().partition("\n\n")
    kinds.write_text(f"{head}\n{lines}\n{rest}")
    # One with nothing on top of it: else no user namespace may mount its own, as a sandbox does.
    (made / ".proc").mkdir()
    mounting._mount("proc", str(made / ".proc"), "proc", 0, "")
    mounting._mount(str(kinds), "/proc/devices", "", _MS_BIND, "")
    mounting._mount(str(made), "/dev", "", _MS_BIND | _MS_REC, "")
    if told["user"]:
        os.setgroups([])
        os.setgid(told["user"])
        os.setuid(told["user"])
    os.execv(sys.argv[2], sys.argv[2:])  # noqa: S606 - no shell is wanted


def node(path: Path, kind: int, number: int) -> None:
    """A file of that kind that everybody may open."""
    if stat.S_ISLNK(kind):
        path.symlink_to("/dev/nvidia0")
        return
    os.mknod(path, kind | 0o666, number)
    path.chmod(0o666)  # whatever the umask


if __name__ == "__main__":
    main()
