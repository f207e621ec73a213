"""A private service of Podman's: own socket, storage, runtime's state and settings.

As root; its containers have the limits that the service has itself, for it may have no right
to raise any.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

from tests.engines.dockerd import PATH
from tests.engines.engine import Private
from tests.engines.process import remove_empty_cgroups

_MOST_PROCESSES = 32768  # what podman lowers its own limit to

_CONTAINERS = """\
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"  # crun refuses hosts that have the old hierarchies and the new one
tmp_dir = "{directory}/run/libpod"
[network]
network_config_dir = "{directory}/networks"
[containers]
log_driver = "k8s-file"
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
"""

_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{directory}/data"
runroot = "{directory}/run"
"""

_REGISTRIES = """\
unqualified-search-registries = []
[[registry]]
location = "localhost"
insecure = true
[[registry]]
prefix = "*.localhost"
insecure = true
"""


class Podman(Private):
    """Its containers outlive it: each has a conmon of its own."""

    def __init__(self, directory: Path) -> None:
        super().__init__("podman", directory)
        self.storage = directory / "data"
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
        if not 0 < processes < _MOST_PROCESSES:
            processes = _MOST_PROCESSES
        words = {"directory": directory, "files": files, "processes": processes}
        (directory / "tmp").mkdir()
        (directory / "packages/info").mkdir(parents=True)
        (directory / "packages/updates").mkdir()
        (directory / "packages/status").touch()
        (directory / "containers.conf").write_text(_CONTAINERS.format(**words))
        (directory / "storage.conf").write_text(_STORAGE.format(**words))
        (directory / "registries.conf").write_text(_REGISTRIES)

    async def close(self) -> None:
        """With the groups that it makes for all its kind, where no other's are in them."""
        await super().close()
        remove_empty_cgroups("libpod_parent/conmon", "libpod_parent")

    def holds(self) -> Iterator[Path]:
        yield from self.storage.glob("*-containers")
        yield from self.storage.glob("volumes")

    def command(self) -> list[str]:
        return ["podman", "system", "service", "--time", "0", self.url]

    def environment(self) -> dict[str, str]:
        at = self.directory
        return {
            "PATH": PATH,
            "HOME": str(at),
            "DPKG_ADMINDIR": f"{at}/packages",  # it asks whose each program is, and that is slow
            "TMPDIR": f"{at}/tmp",
            "XDG_RUNTIME_DIR": f"{at}/xdg",  # where a login of its user's would be
            "CONTAINERS_CONF": f"{at}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{at}/storage.conf",
            "CONTAINERS_REGISTRIES_CONF": f"{at}/registries.conf",
        }
