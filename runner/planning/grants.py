"""What policy denies: each thing that a payload asks for and that nobody has granted.

Default deny: an empty allow-list allows nothing. A denial names the field and the rule, never
a value that may be secret. Names and paths are matched as text, and no path with a link on the
way is taken; what a path leads to is checked again by whoever opens it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from runner.domain import container_users, image, paths, uri
from runner.domain.execution import Execution, Payload
from runner.domain.plan import Artifact, Mode, Mount
from runner.domain.pointer import below
from runner.domain.refusal import Violation, quote
from runner.domain.task import TaskClass
from runner.planning.policy import ENV_RESERVED, HostPath, OwnPlaces, Policy, Rules

# Never given to a task, whatever is granted above or below them; nor is what holds one of them.
_NEVER = (
    *("/etc", "/root", "/proc", "/sys", "/dev", "/run", "/var/run", "/boot"),
    *("/var/lib/docker", "/var/lib/containerd", "/var/lib/containers"),
)


@dataclass(frozen=True, slots=True)
class Denial:
    """One thing that is denied, and the rule that denies it."""

    violation: Violation
    rule: str


def denials(
    payload: Payload,
    mode: Mode,
    executor: str,
    task_class: TaskClass,
    rules: Rules,
    *,
    contained: bool,
) -> list[Denial]:
    """Everything that policy denies, in the order of payload.md. `contained`: in a container."""
    asked, policy = payload.execution, rules.policy
    return [
        *_modes(mode, task_class, policy),
        *_executors(executor, policy),
        *_image(asked, mode, policy),
        *(_withheld(payload, executor, task_class, rules) if contained else ()),
        *_environment(asked, policy),
        *_secrets(asked),
        *_mounts(asked.mounts, rules, contained=contained),
        *_user(asked, rules, contained=contained),
        *_network(asked, policy),
        *_artifacts("inputs", payload.artifacts.inputs),
        *_artifacts("outputs", payload.artifacts.outputs),
    ]


def _denial(field: str, reason: str, message: str, rule: str) -> Denial:
    return Denial(Violation(field, reason, message), rule)


def _modes(mode: Mode, task_class: TaskClass, policy: Policy) -> Iterator[Denial]:
    if mode not in policy.modes:
        message = f"mode {mode} is not granted on this runner"
        yield _denial("/execution/mode", "MODE_DENIED", message, "policy.modes")
    elif mode not in policy.class_modes.get(task_class, policy.modes):
        message = f"mode {mode} is not granted to class {task_class}"
        rule = f"classes.{task_class}.modes"
        yield _denial("/execution/mode", "MODE_DENIED", message, rule)


def _executors(executor: str, policy: Policy) -> Iterator[Denial]:
    if policy.executors is not None and executor not in policy.executors:
        message = f"executor {executor} is not granted on this runner"
        yield _denial("/execution/executor", "EXECUTOR_DENIED", message, "policy.executors")


def _image(asked: Execution, mode: Mode, policy: Policy) -> Iterator[Denial]:
    if not asked.image or mode is Mode.NATIVE:
        return
    wanted = image.parse(asked.image)
    if wanted is None or not any(image.matches(one, wanted) for one in policy.images):
        why = ", and a pattern with a tag grants no digest" if wanted and wanted.digest else ""
        message = f"{quote(asked.image)} is not granted{why}"
        yield _denial("/execution/image", "IMAGE_DENIED", message, "policy.images")


def _withheld(
    payload: Payload, executor: str, task_class: TaskClass, rules: Rules
) -> Iterator[Denial]:
    reference = payload.execution.image or rules.classes[task_class].image
    if reference and rules.withheld(executor, reference, payload.tenant):
        message = f"{quote(reference)} is private, and this task's tenant has no login for it"
        yield _denial("/execution/image", "IMAGE_DENIED", message, "registries.HOST.login")


def _environment(asked: Execution, policy: Policy) -> Iterator[Denial]:
    for name in asked.env:
        yield from _variable(name, below("/execution/env", name), policy)
    for i, secret in enumerate(asked.secrets):
        if secret.env:
            yield from _variable(secret.env, f"/execution/secrets/{i}/env", policy)


def _variable(name: str, field: str, policy: Policy) -> Iterator[Denial]:
    for pattern in ENV_RESERVED:
        if fnmatchcase(name, pattern):
            message = f"{quote(name)} is set by the runner alone"
            yield _denial(field, "ENV_RESERVED", message, f"reserved: {pattern}")
            return
    for pattern in policy.env_denied:
        if fnmatchcase(name, pattern):
            message = f"{quote(name)} changes which program is run"
            yield _denial(field, "ENV_DENIED", message, f"policy.env_denied: {pattern}")
            return


def _secrets(asked: Execution) -> Iterator[Denial]:
    # The same words for every name: whether one exists elsewhere is nobody's to learn.
    for i in range(len(asked.secrets)):
        field = f"/execution/secrets/{i}/name"
        message = "no such secret is available to this task"
        yield _denial(field, "SECRET_UNAVAILABLE", message, "secrets")


def _mounts(mounts: tuple[Mount, ...], rules: Rules, *, contained: bool) -> Iterator[Denial]:
    granted = rules.policy.host_paths
    engines = [place for each in rules.host.engines.values() for place in each.places]
    for i, mount in enumerate(mounts):
        field = f"/execution/mounts/{i}/source"
        roots = [root for root in granted if paths.lies_below(mount.source, root.path)]
        if is_never(mount.source, engines) or not roots:
            message = f"{quote(mount.source)} does not lie below a granted host path"
            yield _denial(field, "MOUNT_DENIED", message, "policy.host_paths")
        elif is_own(mount.source, roots, rules.own):
            message = f"{quote(mount.source)} has, or is, what is the runner's own"
            yield _denial(field, "MOUNT_DENIED", message, "reserved: the runner's own files")
        elif not mount.read_only and not any(root.writable for root in roots):
            message = f"{quote(mount.source)} is granted for reading alone; say read_only"
            yield _denial(field, "MOUNT_DENIED", message, "policy.host_paths")
        elif why := _strays(mount, roots, rules, engines, contained=contained):
            message = f"{quote(mount.source)} {why}"
            yield _denial(field, "MOUNT_DENIED", message, "policy.host_paths")


def _strays(
    mount: Mount,
    roots: Sequence[HostPath],
    rules: Rules,
    engines: Sequence[str],
    *,
    contained: bool,
) -> str:
    """What is wrong with the way to a source that is granted; empty where nothing is. A container
    may be shown what a link leads to, as long as that is granted too; the keeper goes through
    none."""
    if not contained:
        return "has a symbolic link on the way" if rules.linked(mount.source) else ""
    fit = [root for root in roots if mount.read_only or root.writable]
    granted = rules.policy.host_paths
    return rules.host.strays(mount.source, fit, granted, lambda path: is_never(path, engines))


def is_own(source: str, roots: Sequence[HostPath], own: OwnPlaces) -> bool:
    """Whether a mount of that path would show what is the runner's own: it is that, lies below
    it or above. `roots` are the granted paths that it lies below: what lies beside a file of the
    runner's is taken where it was granted by name, and not by a directory above."""
    if any(paths.lies_below(source, at) or paths.lies_below(at, source) for at in own.places):
        return True
    return any(
        paths.lies_below(source, at) and not any(_is_inside(root.path, at) for root in roots)
        for at in own.directories
    )


def _is_inside(path: str, directory: str) -> bool:
    return paths.lies_below(path, directory) and not paths.lies_below(directory, path)


def is_never(source: str, engines: Sequence[str] = ()) -> bool:
    """Whether that path is never given to a task, or holds what is not. `engines` is where
    engines of containers have their files."""
    return not paths.names(source) or any(
        paths.lies_below(source, place) or paths.lies_below(place, source)
        for place in (*_NEVER, *engines)
    )


def _user(asked: Execution, rules: Rules, *, contained: bool) -> Iterator[Denial]:
    if not asked.user:
        return
    if contained and (why := container_users.problem(asked.user)):
        message = f"user {quote(asked.user)} {why}"
        yield _denial("/execution/user", "USER_DENIED", message, "policy.users")
        return
    if asked.user in rules.policy.users:
        return
    if not contained and asked.user == rules.host.task_user and not _is_root(asked.user):
        return  # it is what the runner has decided anyway
    message = f"user {quote(asked.user)} is not granted"
    yield _denial("/execution/user", "USER_DENIED", message, "policy.users")


def _is_root(user: str) -> bool:
    return bool({"0", "root"} & set(user.split(":")))


def _network(asked: Execution, policy: Policy) -> Iterator[Denial]:
    # "none" asks for less than anybody has: it needs no grant.
    if asked.network and asked.network != "none" and asked.network not in policy.networks:
        message = f"network {quote(asked.network)} is not granted"
        yield _denial("/execution/network", "NETWORK_DENIED", message, "policy.networks")


def _artifacts(key: str, artifacts: tuple[Artifact, ...]) -> Iterator[Denial]:
    for i, one in enumerate(artifacts):
        if not one.uri:
            continue
        field = f"/artifacts/{key}/{i}/uri"
        scheme = uri.scheme(one.uri)
        if scheme in {"s3", "file"}:
            rule = "artifacts.s3.buckets" if scheme == "s3" else "artifacts.file_roots"
            message = f"no place is granted for {scheme} artifacts"
            yield _denial(field, "PLACE_DENIED", message, rule)
        else:
            rule = "artifacts.http.hosts" if scheme != "reddb" else "artifacts.reddb"
            message = f"no address is granted for {scheme} artifacts"
            yield _denial(field, "ADDRESS_DENIED", message, rule)
