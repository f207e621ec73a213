"""What an engine really set, compared with what it was asked for, before anything is started.

An engine that takes less than was asked, or adds something of its own or of the image's, gets
nothing to run. Pure: the answer of an inspection and the request's body in, differences out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from runner.executors.container import gpus
from runner.executors.container.flavours import Flavour
from runner.executors.container.image import ImageFacts, full_id
from runner.executors.container.settings import LABEL
from runner.executors.container.spec import Body

_DEFAULTS = frozenset(
    {
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
    }
)
"""Capabilities that every engine gives by default; one that has dropped these has read "ALL"."""

_NOTHING = (
    "Privileged",
    "CapAdd",
    "Devices",
    "DeviceCgroupRules",
    "GroupAdd",
    "VolumesFrom",
    "PortBindings",
    "AutoRemove",
    "OomKillDisable",
    "PublishAllPorts",
    "ExtraHosts",
    "Links",
)
"""What must be empty or false."""

_OWN_NAMESPACE = {
    "PidMode": ("private",),
    "UTSMode": ("private",),
    "IpcMode": ("private", "shareable"),
}
_ABSENT = (None, "", "default")


def differences(
    told: Mapping[str, Any], asked: Body, flavour: Flavour, image: ImageFacts | None = None
) -> list[str]:
    """One line for each thing that is not as asked; none where all is. `image` is what the
    container was made of, whose variables it has too."""
    config, host = told.get("Config") or {}, told.get("HostConfig") or {}
    return [
        *_program(told, config, asked),
        *_variables(config, asked, flavour, image),
        *_privileges(host, asked["HostConfig"]),
        *_gpus(host, asked["HostConfig"], flavour),
        *_apart(host, asked["HostConfig"], flavour),
        *_limits(host, asked["HostConfig"]),
        *_places(told, host, asked["HostConfig"], flavour),
    ]


def _differ(what: str, found: object, wanted: object) -> str:
    return f"{what} is {found!r:.200}, not {wanted!r:.200}"


def _program(told: Mapping[str, Any], config: Mapping[str, Any], asked: Body) -> Iterator[str]:
    if full_id(str(told.get("Image"))) != asked["Image"]:
        yield _differ("Image", told.get("Image"), asked["Image"])
    for key in ("User", "WorkingDir", "Entrypoint", "Tty", "OpenStdin"):
        if (config.get(key) or False) != (asked[key] or False):
            yield _differ(key, config.get(key), asked[key])
    if config.get("Cmd"):
        yield _differ("Cmd", config["Cmd"], [])
    if (config.get("Healthcheck") or {}).get("Test") not in (None, [], ["NONE"]):
        yield _differ("Healthcheck", config["Healthcheck"], "none")
    if config.get("StopSignal") not in {"SIGTERM", "15", 15}:
        yield _differ("StopSignal", config.get("StopSignal"), "SIGTERM")


def _variables(
    config: Mapping[str, Any], asked: Body, flavour: Flavour, image: ImageFacts | None
) -> Iterator[str]:
    """No value is told: it may be a secret, also of the engine's, as in an address of a proxy."""
    found = dict(str(line).partition("=")[::2] for line in config.get("Env") or ())
    wanted = dict(line.split("=", 1) for line in asked["Env"])
    for name, value in wanted.items():
        if found.get(name) != value:
            yield f"the variable {name} is not as it was given"
    known = {**dict(image.env if image else ()), **wanted}
    for name, value in found.items():
        if name not in flavour.variables and known.get(name) != value and name not in wanted:
            yield f"its engine sets the variable {name:.100} by its own configuration"
    labels = config.get("Labels") or {}
    for name, value in asked["Labels"].items():
        if labels.get(name) != value:
            yield _differ(f"label {name}", labels.get(name), value)
    for name in labels:
        if name.startswith(LABEL) and name not in asked["Labels"]:
            yield f"the label {name:.100} was not asked for"


def _privileges(host: Mapping[str, Any], asked: Body) -> Iterator[str]:
    for key in _NOTHING:
        if host.get(key):
            yield _differ(key, host[key], "nothing")
    dropped = {str(name).upper().removeprefix("CAP_") for name in host.get("CapDrop") or ()}
    if "ALL" not in dropped and not dropped >= _DEFAULTS:
        yield _differ("CapDrop", sorted(dropped), ["ALL"])
    options = [str(each) for each in host.get("SecurityOpt") or ()]
    if not any(each in {"no-new-privileges", "no-new-privileges:true"} for each in options):
        yield _differ("SecurityOpt", options, asked["SecurityOpt"])
    if any("unconfined" in each or "disable" in each for each in options):
        yield _differ("SecurityOpt", options, asked["SecurityOpt"])


def _gpus(host: Mapping[str, Any], asked: Body, flavour: Flavour) -> Iterator[str]:
    """What of them is not told here is seen once the container runs."""
    found = gpus.as_told(host.get("DeviceRequests"))
    wanted = gpus.as_told(asked["DeviceRequests"])
    if found != wanted and (found or flavour.tells_gpus):
        yield _differ("DeviceRequests", found, wanted)


def _apart(host: Mapping[str, Any], asked: Body, flavour: Flavour) -> Iterator[str]:
    for key in ("ReadonlyRootfs", "Init"):
        if host.get(key) is not True:
            yield _differ(key, host.get(key), wanted=True)
    for key, own in _OWN_NAMESPACE.items():
        if host.get(key) not in (*_ABSENT, *own):
            yield _differ(key, host.get(key), own[0])
    if host.get("NetworkMode") != asked["NetworkMode"]:
        yield _differ("NetworkMode", host.get("NetworkMode"), asked["NetworkMode"])
    if (host.get("RestartPolicy") or {}).get("Name") not in (*_ABSENT, "no"):
        yield _differ("RestartPolicy", host["RestartPolicy"], "no")
    log = host.get("LogConfig") or {}
    if log.get("Type") not in flavour.log_types:
        yield _differ("LogConfig", log.get("Type"), asked["LogConfig"]["Type"])
    elif flavour.tells_log and (log.get("Config") or {}) != asked["LogConfig"]["Config"]:
        yield _differ("LogConfig", log.get("Config"), asked["LogConfig"]["Config"])


def _limits(host: Mapping[str, Any], asked: Body) -> Iterator[str]:
    for key in ("Memory", "MemorySwap", "PidsLimit"):
        if key in asked and host.get(key) != asked[key]:
            yield _differ(key, host.get(key), asked[key])
    if "NanoCpus" in asked:
        cores = host.get("NanoCpus") or _by_quota(host)
        if cores != asked["NanoCpus"]:
            yield _differ("NanoCpus", cores, asked["NanoCpus"])
    found = {
        str(each.get("Name", "")).lower().removeprefix("rlimit_"): (
            each.get("Soft"),
            each.get("Hard"),
        )
        for each in host.get("Ulimits") or ()
    }
    for each in asked["Ulimits"]:
        wanted = (each["Soft"], each["Hard"])
        if found.get(each["Name"]) != wanted:
            yield _differ(f"ulimit {each['Name']}", found.get(each["Name"]), wanted)


def _by_quota(host: Mapping[str, Any]) -> int:
    quota, period = host.get("CpuQuota") or 0, host.get("CpuPeriod") or 0
    return round(quota * 1_000_000_000 / period) if period else 0


def _places(
    told: Mapping[str, Any], host: Mapping[str, Any], asked: Body, flavour: Flavour
) -> Iterator[str]:
    """Nothing of the host is seen but what was asked for, and nothing else can be written to."""
    wanted = {
        (each["Source"], each["Target"], not each["ReadOnly"])
        for each in asked["Mounts"]
        if each["Type"] == "bind"
    }
    memory = {*asked["Tmpfs"], *(m["Target"] for m in asked["Mounts"] if m["Type"] == "tmpfs")}
    found = set()
    for each in told.get("Mounts") or ():
        kind, place = each.get("Type"), each.get("Destination")
        if kind == "bind":
            found.add((each.get("Source"), place, each.get("RW")))
        elif kind != "tmpfs" or place not in memory:
            yield f"a mount of type {kind!r:.50} at {place!r:.200} was not asked for"
    for source, target, writable in sorted(wanted ^ found, key=str):
        way = "lacking" if (source, target, writable) in wanted else "not asked for"
        yield f"the mount of {source!r:.200} at {target!r:.200} (writable: {writable}) is {way}"
    for place in host.get("Tmpfs") or {}:
        if place not in memory and place not in flavour.tmpfs:
            yield f"a tmpfs at {place!r:.200} was not asked for"
