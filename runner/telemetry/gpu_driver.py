"""NVIDIA's driver, asked through NVML: all of it runs in the process of `gpu_child.py`, which may
hang or die of it.

Devices are told by UUID; an index is only what the driver counts by at this moment.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import pynvml

from runner.domain.gpu import Gpu
from runner.telemetry.gpu_answer import Answer, Silent
from runner.telemetry.gpu_xid_events import XidEvents

T = TypeVar("T")

_LOST = (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired)
"""What says of the device itself that it cannot be used; all else may have been but that call."""

_ABSENT = (
    pynvml.NVMLError_DriverNotLoaded,
    pynvml.NVMLError_LibRmVersionMismatch,
    pynvml.NVMLError_LibraryNotFound,
)
"""There is no driver that this library could ask."""

_NO_DRIVER = (pynvml.NVMLError_Uninitialized, *_ABSENT)
"""It is the driver that does not answer here any more, not a device."""

_NO_MIG = (pynvml.NVMLError_NotSupported, pynvml.NVMLError_FunctionNotFound)
"""The device, or a driver from before there was that, cannot be cut into parts."""

_FRESH = 1.0
"""Seconds for which a look at all devices is believed in what a glance does not ask again."""

_UUID = re.compile(r"GPU-[0-9A-Za-z-]{1,90}")
"""What is a UUID: it is written into variables in which a comma, `all` or a number say more than
one device, and names a file."""


class Driver:
    """Loaded and asked for the first time by `look`; use it in one thread."""

    def __init__(self, library: str = "", at: Callable[[str], None] = lambda _device: None) -> None:
        """`library` is the driver's, where it is not the one that the loader finds; `at` is told
        before each device which one is asked, and with nothing that none is."""
        self._at = at
        self._library = library
        self._handles: dict[str, Any] = {}  # by UUID, as they were last seen
        self._told: dict[str, Gpu] = {}  # as each last told of itself
        self._looked = 0.0  # when that was asked
        self._xids = XidEvents()
        self._version = ""

    def look(self, uuid: str = "") -> Answer:
        """All devices as they are now; where `uuid` is that of one that has told of itself before,
        that one, by what changes and costs little. Does not raise for what the driver says."""
        try:
            if not self._version:
                self._open()
            return self._glance(self._told[uuid]) if uuid in self._told else self._look()
        except pynvml.NVMLError as error:
            told = f"the NVIDIA driver cannot be asked: {error}"
            over = isinstance(error, _NO_DRIVER)
            driver = "" if over else self._version
            return Answer(problem=told, driver=driver, absent=isinstance(error, _ABSENT))
        except OSError as error:  # of the library
            problem = f"the NVIDIA driver's library cannot be loaded: {error}"
            return Answer(problem=problem, absent=True)

    def _open(self) -> None:
        if self._library:  # of the same name as the one that pynvml asks for, which then is this
            ctypes.CDLL(self._library, ctypes.RTLD_GLOBAL)
        pynvml.nvmlInit()
        self._version = _text(pynvml.nvmlSystemGetDriverVersion)

    def _look(self) -> Answer:
        self._looked = time.monotonic()
        found: list[Gpu] = []
        silent: list[Silent] = []
        seen: Counter[str] = Counter()
        for index in range(pynvml.nvmlDeviceGetCount()):
            self._at(f"index {index}")
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                uuid = str(pynvml.nvmlDeviceGetUUID(handle))
            except _NO_DRIVER:
                raise
            except pynvml.NVMLError as error:
                silent.append(_silent(index, error))
                continue
            except UnicodeDecodeError:
                silent.append(Silent(index, "the driver tells a UUID for it that is no text"))
                continue
            if not _UUID.fullmatch(uuid):
                problem = "the driver tells a UUID for it that is none"
                silent.append(Silent(index, problem, words=repr(uuid)))
                continue
            seen[uuid] += 1
            if seen[uuid] > 1:
                continue
            self._at(uuid)
            self._handles[uuid] = handle
            self._xids.follow(uuid, handle)
            try:
                found.append(_device(uuid, index, handle))
            except _NO_DRIVER:
                raise
            except pynvml.NVMLError as error:
                silent.append(_silent(index, error, uuid))
        nameless = [each for each in silent if not each.uuid]
        silent += [self._missing(uuid, nameless) for uuid in self._handles if uuid not in seen]
        found = [_doubled(each) if seen[each.uuid] > 1 else each for each in found]
        self._told |= {each.uuid: each for each in found}
        for uuid in (each.uuid for each in found if each.doubtful):
            del self._told[uuid]  # a glance would find it well
        self._at("")
        return self._answer(found, silent)

    def _answer(self, found: list[Gpu], silent: list[Silent], of: str = "") -> Answer:
        """With the Xids of all devices, and whether they are heard."""
        events = self._xids.heard()
        self._xids.forget(each.uuid for each in silent if each.lost)
        told = (replace(each, unheard=self._xids.unheard(each.uuid)) for each in found)
        return Answer(tuple(told), "", self._version, tuple(silent), events, of)

    def _glance(self, known: Gpu) -> Answer:
        """Whether the device is there, who is on it, and all else that speaks against giving it
        out: of this, the MIG mode (half of what a look costs) and how worn it is only where no
        look has just asked. Figures are as they were at the last look."""
        uuid, found, silent = known.uuid, [], []
        handle = self._handles[uuid]
        self._at(uuid)
        try:
            if str(pynvml.nvmlDeviceGetUUID(handle)) == uuid:
                gpu = replace(known, memory_used=_used(handle)[1], processes=_processes(handle))
                if time.monotonic() - self._looked > _FRESH:
                    mig = _told(lambda: _mig(handle), None)
                    gpu = replace(gpu, problem=_worn_out(handle), mig=mig)
                found.append(gpu)
        except _NO_DRIVER:
            raise
        except pynvml.NVMLError as error:
            silent.append(_silent(known.index, error, uuid))
        self._at("")
        return self._answer(found, silent, uuid)

    def _missing(self, uuid: str, nameless: list[Silent]) -> Silent:
        """A device that has been there, and is not listed: what its old handle says, or what those
        say that do not tell which they are."""
        self._at(uuid)
        try:
            pynvml.nvmlDeviceGetUUID(self._handles[uuid])
        except _NO_DRIVER:
            raise
        except pynvml.NVMLError as error:
            return _silent(-1, error, uuid)
        said = [f"at index {each.index}: {each.problem}: {each.words}" for each in nameless]
        return Silent(-1, "the driver does not list it", uuid, words="; ".join(said))


def _device(uuid: str, index: int, handle: Any) -> Gpu:
    """Raises NVMLError where it is lost."""
    total, taken = _used(handle)
    busy = _told(lambda: int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu), -100)
    return Gpu(
        uuid=uuid,
        index=index,
        name=_told(lambda: _text(lambda: pynvml.nvmlDeviceGetName(handle)), ""),
        minor=_told(lambda: int(pynvml.nvmlDeviceGetMinorNumber(handle)), -1),
        memory_total=total,
        memory_used=taken,
        utilization=min(busy, 100) / 100,
        problem=_worn_out(handle),
        mig=_told(lambda: _mig(handle), None),
        processes=_processes(handle),
    )


def _doubled(gpu: Gpu) -> Gpu:
    """It is told with the UUID of another: nobody knows which of them that would be."""
    return replace(gpu, problem="the driver tells its UUID for another device too", doubtful=True)


def _text(ask: Callable[[], object]) -> str:
    """What is told, with a sign in place of what is no UTF-8."""
    try:
        return str(ask())
    except UnicodeDecodeError as error:
        return error.object.decode(errors="replace")


def _mig(handle: Any) -> bool:
    try:
        return bool(pynvml.nvmlDeviceGetMigMode(handle)[0])
    except _NO_MIG:
        return False


def _used(handle: Any) -> tuple[int, int]:
    """Bytes of memory that there are, 0 where that is not told, and that are in use, then -1."""
    return _told(lambda: _memory(handle), (0, -1))


def _memory(handle: Any) -> tuple[int, int]:
    """Bytes that there are and that programs use, without what the driver keeps for itself, where
    that is told apart. Zeros for a device that has none of its own."""
    try:
        told = pynvml.nvmlDeviceGetMemoryInfo(handle, pynvml.nvmlMemory_v2)
    except pynvml.NVMLError_NotSupported:  # it has the host's
        return 0, 0
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_ArgumentVersionMismatch):
        told = pynvml.nvmlDeviceGetMemoryInfo(handle)  # drivers before 510
    return int(told.total), int(told.used)


def _worn_out(handle: Any) -> str:
    """What the device says of its memory, where that is no longer to be trusted."""
    *_, failed = _told(lambda: pynvml.nvmlDeviceGetRemappedRows(handle), (0, 0, 0, 0))
    if failed:
        return "faulty rows of its memory can be remapped no more: it is to be replaced"
    if _told(lambda: int(pynvml.nvmlDeviceGetRetiredPagesPendingStatus(handle)), 0):
        return "faulty pages of its memory wait to be retired: it is to be reset"
    return ""


def _processes(handle: Any) -> tuple[int, ...] | None:
    """The pids on it, None where they are not told."""
    computing = _told(lambda: _compute(handle), None)
    if computing is None:
        return None
    drawing = _told(lambda: _graphics(handle), None)
    if drawing is None:
        return None
    return tuple(sorted({int(each.pid) for each in (*computing, *drawing)}))


def _compute(handle: Any) -> list[Any]:
    try:
        return list(pynvml.nvmlDeviceGetComputeRunningProcesses_v3(handle))
    except pynvml.NVMLError_FunctionNotFound:  # drivers before 510
        return list(pynvml.nvmlDeviceGetComputeRunningProcesses_v2(handle))


def _graphics(handle: Any) -> list[Any]:
    try:
        return list(pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3(handle))
    except pynvml.NVMLError_NotSupported:  # it draws for nobody
        return []
    except pynvml.NVMLError_FunctionNotFound:
        return list(pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2(handle))


def _told(ask: Callable[[], T], otherwise: T) -> T:
    """What is answered; `otherwise` where that is not told, whatever the reason: no figure decides
    over a task. Raises NVMLError where the device is lost, or the driver is not there."""
    try:
        return ask()
    except (*_LOST, *_NO_DRIVER):
        raise
    except pynvml.NVMLError:
        return otherwise


def _silent(index: int, error: pynvml.NVMLError, uuid: str = "") -> Silent:
    return Silent(index, _why(error), uuid, isinstance(error, _LOST), str(error))


def _why(error: pynvml.NVMLError) -> str:
    if isinstance(error, pynvml.NVMLError_GpuIsLost):
        return "it has fallen off the bus, or cannot be reached otherwise (GPU is lost)"
    if isinstance(error, pynvml.NVMLError_ResetRequired):
        return "it cannot be used before it is reset"
    return "the driver does not answer for it"
