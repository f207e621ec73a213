"""What an engine is asked to create: a launch and the settings, as the body of one request.

Locked down, whatever payload and image say: no capability, no new privileges, nothing writable
but workspace and /tmp, a user without privilege, limits of its own, no network unless granted.
Pure. Not here: whether the engine did so (`readback.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from runner.domain import container_users, paths
from runner.domain.plan import Plan
from runner.executors import calls
from runner.executors.container import gpus, image_annotations
from runner.executors.container.flavours import Flavour
from runner.executors.container.granted import Seen
from runner.executors.container.image import ImageFacts
from runner.executors.container.settings import LABEL, Settings
from runner.planning import targets
from runner.planning.bounds import LEAST_CPU
from runner.ports import Launch

Body = dict[str, Any]

WORKSPACE = "/workspace"
TASK = "/run/env-runner"
_TMP = "/tmp"  # noqa: S108 - the container's own

_IMAGES_OWN = ("LD_*", "CUDA_VISIBLE_DEVICES", "NVIDIA_*", "ENV_RUNNER_*")
"""Variables of an image that are emptied: they change what is run, or pretend to be ours."""

_KEPT_OF_IMAGE = ("PATH", "LANG")
"""Variables for which an image knows better than the runner's defaults."""

_LEAST_SHM = 64 << 20  # bytes of /dev/shm: the engines' default
_INIT = 1  # processes that the engine's init takes
_QUOTA = 10_000  # billionths of a core: a microsecond of each 100 ms, the finest that is held
_FILES, _PROCESSES = 65_536, 32_768  # of one container; Podman 4 lowers its own to the latter


class Unfit(Exception):
    """The image cannot be run as it is; the text says why, for a person."""


def body(
    request: Launch,
    image: ImageFacts,
    settings: Settings,
    flavour: Flavour,
    mounts: Sequence[Seen] = (),
) -> Body:
    """The request's body. `mounts` are those of the plan, as they were looked at. Raises Unfit."""
    if said := image_annotations.problem(image.annotations):
        raise Unfit(said)
    plan = request.plan
    stdin = request.stdin is not None
    asked: Body = {
        "Image": image.id,
        # all of argv, so that engines have nothing to put together themselves
        "Entrypoint": list(_called(request) or argv(plan, image)),
        "Cmd": [],
        "Env": [f"{name}={value}" for name, value in environment(request, image).items()],
        "WorkingDir": workspace(plan),
        "User": user(plan, settings),
        "Labels": labels(request, image, settings),
        "StopSignal": "SIGTERM",
        "Healthcheck": {"Test": ["NONE"]},
        "Tty": False,
        "OpenStdin": stdin,
        "StdinOnce": stdin,
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": _host(request, image, settings, flavour, mounts),
    }
    return asked


def _called(request: Launch) -> tuple[str, ...]:
    """In mode python: the image's interpreter, and what it is to run."""
    directory = request.plan.working_dir
    inside = "" if directory.startswith("/") else directory
    place = workspace(request.plan)
    return calls.argv(request.interpreter, TASK, place, inside) if request.interpreter else ()


def argv(plan: Plan, image: ImageFacts) -> tuple[str, ...]:
    """Entry point and command, each the image's own where the payload has none. Raises Unfit."""
    entrypoint = image.entrypoint if plan.entrypoint is None else plan.entrypoint
    command = image.command if plan.command is None else plan.command
    words = (*entrypoint, *command)
    if not words:
        raise Unfit("neither the task nor its image names a command")
    if not words[0]:
        raise Unfit("the first word names the program, and is empty")
    return words


def workspace(plan: Plan) -> str:
    """Where the container sees its workspace, in which it starts. A directory that is not absolute,
    as mode python may have it, lies in there."""
    return paths.plain(plan.working_dir) if plan.working_dir.startswith("/") else WORKSPACE


def user(plan: Plan, settings: Settings) -> str:
    """As whom it runs, "uid:gid": never as the image wants it, never as root. Raises Unfit."""
    wanted = plan.user or settings.user
    both = container_users.parse(wanted)
    if both is None or container_users.problem(wanted):
        raise Unfit(f"user {wanted!r:.100} {container_users.problem(wanted)}")
    return f"{both[0]}:{both[1]}"


def labels(request: Launch, image: ImageFacts, settings: Settings) -> dict[str, str]:
    """How the container is known again. The caller's labels come along below their own prefix.
    All are said, empty where there is none: engines give the image's to what is not, and whose a
    container is would be its image's to say."""
    given = {f"{LABEL}label.{key}": value for key, value in request.labels.items()}
    return {
        **{name: "" for name in image.labels if name.startswith(LABEL)},
        **given,
        f"{LABEL}runner": settings.runner,
        f"{LABEL}name": request.name,
        f"{LABEL}task": request.task_id,
        f"{LABEL}attempt": str(request.attempt),
        f"{LABEL}class": str(request.task_class),
        f"{LABEL}tenant": request.tenant,
        f"{LABEL}owner": settings.owner,
        f"{LABEL}root": str(settings.root) if settings.owner else "",
    }


def environment(request: Launch, image: ImageFacts) -> dict[str, str]:
    """All variables, with the paths that the task sees; what of the image's is emptied. Raises
    Unfit."""
    given = dict(request.environment)
    of_image = dict(image.env)
    if "" in of_image:
        raise Unfit("the image sets a variable without a name")
    # of two Docker would take the first and Podman the last; without "=", runc takes none
    names = [name for name, _ in image.env]
    said = {name: value for name, value in of_image.items() if not value or names.count(name) > 1}
    for name in _KEPT_OF_IMAGE:
        if name in of_image and name not in request.plan.env:
            given.pop(name, None)
    emptied = {
        name: "" for name in of_image if any(fnmatchcase(name, pattern) for pattern in _IMAGES_OWN)
    }
    return {
        **said,
        **emptied,
        "HOME": workspace(request.plan),
        "TMPDIR": _TMP,
        **given,
        "ENV_RUNNER_CONTEXT": f"{TASK}/context.json",
        "ENV_RUNNER_RESULT": f"{TASK}/result.json",
        "ENV_RUNNER_PROGRESS": f"{TASK}/progress.jsonl",
    }


def _host(
    request: Launch,
    image: ImageFacts,
    settings: Settings,
    flavour: Flavour,
    mounts: Sequence[Seen],
) -> Body:
    limits = request.plan.limits
    memory = limits.memory_bytes
    asked: Body = {
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "ReadonlyRootfs": True,
        "Tmpfs": {_TMP: _tmpfs(memory)},
        "Mounts": _mounts(request, image, settings, mounts, flavour),
        "NetworkMode": request.plan.network or "none",
        "IpcMode": "private",
        "ShmSize": max(_LEAST_SHM, memory // 2),
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "AutoRemove": False,
        "OomKillDisable": False,
        "DeviceRequests": gpus.requests(request.gpus, flavour),
        "Ulimits": _ulimits(settings.hard) if flavour.ulimits else [],
        "LogConfig": flavour.log_config(limits.output_bytes),
        **flavour.extra,
    }
    unheld = request.plan.unheld
    if memory and "memory" not in unheld:
        asked |= {"Memory": memory, "MemorySwap": memory}  # equal: no swap
    if limits.cpu_cores and "cpu" not in unheld:
        asked["NanoCpus"] = _nano(limits.cpu_cores)
    if limits.max_processes and "processes" not in unheld:
        asked["PidsLimit"] = limits.max_processes + _INIT
    return asked


def _nano(cores: float) -> int:
    """Billionths of a core, no more than `cores` and as fine as engines hold them. Raises Unfit."""
    found = round(cores * 1_000_000_000) // _QUOTA * _QUOTA
    if found < LEAST_CPU * 1_000_000_000:
        raise Unfit(f"its {cores:g} of a core is less than a container can be given: {LEAST_CPU}")
    return found


def _tmpfs(memory: int) -> str:
    """Its memory is the task's; without a limit of that, half of the host's is what tmpfs takes."""
    size = f",size={memory}" if memory else ""
    return f"rw,nosuid,nodev,exec{size},mode=1777"


def _mounts(
    request: Launch,
    image: ImageFacts,
    settings: Settings,
    mounts: Sequence[Seen],
    flavour: Flavour,
) -> list[Body]:
    home = settings.root / request.name
    plan = request.plan
    given = (workspace(plan), *(path for each in mounts for path in (each.source, each.target)))
    for path in (*given, *image.volumes):
        if any(sign in path for sign in flavour.no_signs):
            raise Unfit(f"{flavour.name} takes no path with a comma or a quote: {path!r:.200}")
    found = [
        _bind(f"{home}/workspace", workspace(plan), read_only=False),
        _bind(f"{home}/task", TASK, read_only=False),
        *(_bind(each.source, each.target, read_only=each.read_only) for each in mounts),
    ]
    taken = {_TMP, *(each["Target"] for each in found)}
    for volume in image.volumes:
        # else the engine would make one on the host's disk, that nobody limits
        if paths.inside_container(volume) is not None:
            raise Unfit(f"the image declares a volume at {volume!r:.200}, where none can be")
        place = paths.plain(volume)
        if hidden := targets.hides(place):
            raise Unfit(
                f"the image declares a volume at {volume!r:.200}, which would hide {hidden}"
            )
        if place not in taken:
            _apart(place, mounts)
            taken.add(place)
            options = {"SizeBytes": plan.limits.memory_bytes or _LEAST_SHM, "Mode": 0o1777}
            found.append({"Type": "tmpfs", "Target": place, "TmpfsOptions": options})
    return found


def _apart(volume: str, mounts: Sequence[Seen]) -> None:
    """The engine would make its place in what is mounted around it, a directory of the host, as
    root and for good. Raises Unfit."""
    for at in (TASK, *(each.target for each in mounts)):
        if paths.lies_below(volume, at):
            text = f"the image declares a volume at {volume!r:.200}, and {at!r:.200} around it is"
            raise Unfit(f"{text} mounted from the host, where nothing is made for an image")


def _bind(source: str, target: str, *, read_only: bool) -> Body:
    return {
        "Type": "bind",  # of this form it must be there: engines make no directory for it
        "Source": source,
        "Target": target,
        "ReadOnly": read_only,
        "BindOptions": {"Propagation": "rprivate"},
    }


def _ulimits(hard: Mapping[str, int]) -> list[Body]:
    """Soft and hard are equal, as Podman 4 wants it; none above what this process itself has,
    which an engine without CAP_SYS_RESOURCE could not give."""
    wanted = {"core": 0, "nofile": _FILES, "nproc": _PROCESSES}
    return [
        {"Name": name, "Soft": amount, "Hard": amount}
        for name, most in wanted.items()
        for amount in (min(most, hard.get(name, most)),)
    ]
