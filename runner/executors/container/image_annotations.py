"""What the annotations of an image's manifest may be, and those of the container made of it: pure.

Podman gives an image's annotations to its containers, and so to the runtime, for which some are
orders: files of the host to write to (`run.oci.hooks.stderr`), another filter of system calls
(`run.oci.seccomp_bpf_data`), properties of a unit of systemd (`org.systemd.property.*`). Podman
heeds some itself, and nobody knows all of them. Docker gives none of them on. Not here: the
image's configuration (`spec.py`), or labels, which no runtime is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

DESCRIBING = (
    "org.opencontainers.image.",
    "com.docker.official-images.",
    "com.docker.dockerfile.",
    "io.artifacthub.",
    "dev.chainguard.",
    "io.buildah.",
)
"""How the names of those begin that tell of an image and are orders to nobody."""

_OWN = {
    "io.container.manager": "libpod",
    "io.kubernetes.cri-o.TTY": "false",
    "io.podman.annotations.autoremove": "FALSE",
    "io.podman.annotations.init": "TRUE",
    "io.podman.annotations.privileged": "FALSE",
    "io.podman.annotations.publish-all": "FALSE",
}
"""What Podman itself sets for what every container here is asked for; 5 leaves some out."""


def problem(names: Iterable[str]) -> str:
    """Why an image with annotations of these names is not run, for a person; empty where it is."""
    orders = [name for name in names if not name.startswith(DESCRIBING)]
    if not orders:
        return ""
    more = f" and {len(orders) - 1} more" if len(orders) > 1 else ""
    return (
        f"its image's manifest bears the annotation {orders[0]!r:.150}{more}, which Podman gives "
        "its runtime, where it may be an order: build the image without it"
    )


def differences(found: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """One line for each annotation of a container that neither describes its image nor is the
    engine's own for `asked`, the request's body."""
    host = asked["HostConfig"]
    own = {  # those that Podman 5 makes of the request
        **_OWN,
        "io.podman.annotations.userns": host.get("UsernsMode"),
        "io.podman.annotations.pids-limit": str(host.get("PidsLimit")),
    }
    return [
        f"the annotation {name!r:.150} is {value!r:.100}, which was not asked for"
        for name, value in sorted(found.items())
        if not name.startswith(DESCRIBING) and (name not in own or own[name] != value)
    ]
