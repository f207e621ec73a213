"""Checks of the host's GPUs: the driver, the devices, and whether what runs tasks here can give
them out. Nothing is made on a device."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from runner.config.model import Config
from runner.doctor import gpu_leases, gpu_standing
from runner.doctor.finding import Finding, fail, ok, warn
from runner.domain.gpu import Gpu
from runner.executors import gpu_nodes
from runner.keeper import devices
from runner.telemetry.gpu import NvmlGpus, without

_CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
_TOOLKIT = ("nvidia-container-runtime-hook", "nvidia-ctk")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_EVERYBODY = stat.S_IROTH | stat.S_IWOTH


async def examine(config: Config) -> list[Finding]:
    """`gpu`, and where there are devices whether any can be given out, and one for each way."""
    gpus = NvmlGpus()
    try:
        look = await gpus.look()
        version = gpus.driver
    finally:
        await gpus.close()
    if look.problem or not look.devices:
        return [driver(look.problem, version, look.devices, without())]
    known, lacking = await gpu_standing.known(config, look.devices)
    found = driver("", version, known, "")
    if lacking:
        found = replace(found, found=f"{found.found}; {lacking}")
    leases = await gpu_leases.examine(config, known)
    ways = [native(known)] if config.local.enabled else []
    socket = config.docker.socket
    if config.docker.enabled and os.path.lexists(socket):  # noqa: ASYNC240 - a command's only look
        ways.append(docker(_PATH))
    if config.podman.enabled:
        ways.append(podman(look.devices, _CDI))
    return [found, leases, *ways]


def driver(problem: str, version: str, gpus: Sequence[Gpu], lacking: str) -> Finding:
    """What there is. `lacking` says why the driver cannot even be asked."""
    if lacking and "pip install" not in lacking:
        return ok("gpu", f"{lacking}: no task gets a GPU")
    if lacking:
        return warn("gpu", lacking, "install it where the daemon is installed, and restart that")
    if problem:
        remedy = "see nvidia-smi and journalctl -k | grep NVRM; load the driver (modprobe nvidia)"
        return fail("gpu", problem, remedy)
    if not gpus:
        return ok("gpu", f"driver {version} has no device: no task gets a GPU")
    said = f"driver {version}; {'; '.join(_line(each) for each in gpus)}"
    if any(each.problem for each in gpus):
        return fail("gpu", said, "see docs/gpu.md: a device that is not well is not given out")
    if any(each.mig is not False for each in gpus):
        remedy = "nvidia-smi -i INDEX -mig 0, where whole devices are to be given out"
        return warn("gpu", said, remedy)
    if any(each.unheard for each in gpus):
        return warn("gpu", said, "see journalctl -k | grep NVRM; errors show in that log alone")
    return ok("gpu", said)


def _line(each: Gpu) -> str:
    words = [f"{each.index}: {each.name} {each.uuid}"]
    words += ["cut into parts (MIG), and so not given out"] if each.mig else []
    words += ["whether it is cut into parts (MIG) is not told"] if each.mig is None else []
    words += [each.problem] if each.problem else []
    words += [each.words] if each.words else []
    words += [f"its errors (Xid) are not heard: {each.unheard}"] if each.unheard else []
    return ", ".join(words)


def native(gpus: Sequence[Gpu], mode: int | None = None) -> Finding:
    """Whether native tasks can have them. `mode` is that of the device nodes, where it is not to
    be looked up."""
    whole = [each for each in gpus if each.mig is False and not each.problem]
    try:
        nodes = [node for each in whole for node in devices.look(gpu_nodes.paths([each]))]
    except (devices.Unfit, gpu_nodes.Unknown) as error:
        remedy = "nvidia-modprobe -u -c 0 makes the nodes; the package nvidia-modprobe has it"
        return fail("gpu.nodes", str(error), remedy)
    modes = (os.stat(node.path).st_mode if mode is None else mode for node in nodes)  # noqa: PTH116 - a number
    if any(each & _EVERYBODY != _EVERYBODY for each in modes):
        remedy = (
            "options nvidia NVreg_DeviceFileMode=0666 in /etc/modprobe.d, or no users for tasks"
        )
        return warn(
            "gpu.nodes", "not every user may open the devices, and tasks have users", remedy
        )
    return ok("gpu.nodes", f"native tasks have the nodes of {len(whole)} devices")


def docker(path: str) -> Finding:
    """Whether Docker can; its own word comes only with a container."""
    if any(shutil.which(each, path=path) for each in _TOOLKIT):
        return ok("gpu.docker", "the NVIDIA Container Toolkit is there")
    remedy = "install nvidia-container-toolkit, and restart Docker"
    return warn(
        "gpu.docker", "there is no NVIDIA Container Toolkit: no container gets a GPU", remedy
    )


def podman(gpus: Sequence[Gpu], places: Sequence[Path]) -> Finding:
    """Whether Podman knows them, by the names that it is asked with."""
    text = "\n".join(_specifications(places))
    unknown = [each.uuid for each in gpus if each.mig is False and each.uuid not in text]
    if not unknown:
        return ok("gpu.podman", "CDI knows each device by its UUID")
    remedy = (
        "nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml, "
        "anew after each change of devices or driver"
    )
    return warn("gpu.podman", f"CDI does not know {', '.join(unknown)}", remedy)


def _specifications(places: Sequence[Path]) -> Iterator[str]:
    for place in places:
        for path in sorted([*place.glob("*.yaml"), *place.glob("*.json")]):
            try:
                text = path.read_text(errors="replace")
            except OSError:
                continue
            if "nvidia.com/gpu" in text:
                yield text
