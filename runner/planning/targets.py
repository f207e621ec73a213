"""Places in a container or in the strict sandbox at which a payload wants to have something: each
is to hide nothing of what a task sees there, nor another. By name alone.
"""

from __future__ import annotations

from runner.domain import paths
from runner.domain.execution import Execution
from runner.domain.refusal import quote
from runner.domain.shape import Faults

_RUNNERS_OWN = ("/workspace", "/run/env-runner", "/tmp", "/dev", "/proc", "/sys")  # noqa: S108 - the task's own
_IN_CONTAINERS = ("/run/env-runner", "/tmp")  # noqa: S108 - the task's own
_THE_SYSTEMS = ("/usr", "/etc", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_PROGRAMS = (*_THE_SYSTEMS, "/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64")
"""What an image and its engine's init cannot do without. Below them much else may lie, as in
/usr/src."""

_ENGINES_OWN = (
    *("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/etc/mtab"),
    *("/.dockerenv", "/run/.containerenv", "/run/podman-init", "/sbin/docker-init"),
)
"""Files that an engine reads in a container, or puts there, before anything of the task's runs:
with something else in their place it starts none."""

_IN_MEMORY = {"podman": "/var/tmp"}  # noqa: S108 - in the container
"""A directory that an engine mounts by itself. In one that was mounted around it the engine would
make it first, as root and on the host; or could not."""

_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/var/run")
"""What is a link in most images. A workspace below one would lie where it leads, and be called
otherwise by whoever asks where it is than HOME says."""

OPTIONS = {"podman": ',"'}
"""Signs in the path of a mount that an engine takes for its own options: Podman's API makes a line
of comma-separated options of each mount, and reads that anew."""


def check(asked: Execution, executor: str, faults: Faults, *, contained: bool) -> None:
    """Note each mount that would hide something, and a workspace that would itself."""
    if contained:
        _in_container(asked, executor, faults)
        return
    for i, mount in enumerate(asked.mounts):
        _mount(i, mount.target, (*_RUNNERS_OWN, *_THE_SYSTEMS), (), faults)


def _in_container(asked: Execution, executor: str, faults: Faults) -> None:
    place = asked.working_dir
    if place.startswith("/"):
        if any(_meet(own, place) for own in _IN_CONTAINERS):
            message = f"the workspace cannot be at {quote(place)}: the runner has its own there"
            faults.add("/execution/working_dir", "BAD_PATH", message)
        elif why := _taken(place, executor) or _linked(place):
            message = f"the workspace cannot be at {quote(place)}: {why}"
            faults.add("/execution/working_dir", "BAD_PATH", message)
        _signs("/execution/working_dir", place, executor, faults)
    for i, mount in enumerate(asked.mounts):
        at = f"/execution/mounts/{i}"
        others = tuple(other.target for other in asked.mounts[:i])
        workspace = place if place.startswith("/") else "/workspace"
        _mount(i, mount.target, (workspace, *_IN_CONTAINERS), others, faults)
        if why := _taken(mount.target, executor):
            message = f"nothing can be mounted at {quote(mount.target)}: {why}"
            faults.add(f"{at}/target", "BAD_PATH", message)
        _signs(f"{at}/target", mount.target, executor, faults)
        _signs(f"{at}/source", mount.source, executor, faults)


def _mount(
    i: int, target: str, owned: tuple[str, ...], others: tuple[str, ...], faults: Faults
) -> None:
    at = f"/execution/mounts/{i}/target"
    for own in owned:
        if _meet(own, target):
            message = f"nothing can be mounted at {quote(target)}: {own} is there"
            faults.add(at, "BAD_PATH", message)
            return
    for other in others:
        if _meet(other, target):
            message = f"nothing can be mounted at {quote(target)}: another mount is at {other}"
            faults.add(at, "BAD_PATH", message)
            return


def _meet(one: str, other: str) -> bool:
    """Whether one of the two is the other, or lies in it."""
    return paths.lies_below(one, other) or paths.lies_below(other, one)


def hides(place: str) -> str:
    """What something at that place in a container would hide; empty where nothing."""
    return next((each for each in _PROGRAMS if paths.lies_below(each, place)), "")


def _taken(place: str, executor: str) -> str:
    """Why nothing can be put there, whatever the image; empty where something can."""
    if hidden := hides(place):
        return f"it would hide {hidden}"
    for each in _ENGINES_OWN:
        if paths.lies_below(place, each):
            return f"engines have their own {each}"
    own = _IN_MEMORY.get(executor, "")
    if own and paths.lies_below(own, place) and not paths.lies_below(place, own):
        return f"{executor} has its own {own}"
    return ""


def _linked(place: str) -> str:
    link = next((each for each in _LINKS if paths.lies_below(place, each)), "")
    return f"{link} is a link in most images" if link else ""


def _signs(at: str, path: str, executor: str, faults: Faults) -> None:
    if any(sign in path for sign in OPTIONS.get(executor, "")):
        message = f"{executor} takes no path with a comma or a quote: {quote(path)}"
        faults.add(at, "BAD_PATH", message)
