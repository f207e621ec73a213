"""A small CUDA program through the driver API alone, run by tests as a task: it makes a context,
fills memory, runs a kernel on it and looks at the result. No CUDA toolkit is needed.

Prints a line of JSON: the UUIDs of the devices that it can see. `cuda_program.py MIB FILE` then
keeps so much memory until there is that file; `cuda_program.py fault` has its kernel write where
there is no memory, and ends with what the driver calls that.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import time
import uuid
from typing import Any

_COUNT = 1024
_PTX = b"""
.version 6.0
.target sm_50
.address_size 64
.visible .entry add_index(.param .u64 out)
{
    .reg .b32 %r<5>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [out];
    cvta.to.global.u64 %rd1, %rd1;
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.s32 %r4, %r1, %r2, %r3;
    mul.wide.s32 %rd2, %r4, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.u32 %r1, [%rd3];
    add.s32 %r1, %r1, %r4;
    st.global.u32 [%rd3], %r1;
    ret;
}
"""


class Cuda:
    """The driver's library; each call that fails ends the program with its name and code."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libcuda.so.1")

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._library, name)

        def call(*words: Any) -> None:
            if code := function(*words):
                sys.exit(f"{name}: error {code}")

        return call


def seen(cuda: Cuda) -> list[str]:
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    found = []
    for index in range(count.value):
        device, raw = ctypes.c_int(), (ctypes.c_ubyte * 16)()
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetUuid(raw, device)
        found.append(f"GPU-{uuid.UUID(bytes=bytes(raw))}")
    return found


def compute(cuda: Cuda, *, fault: bool) -> None:
    size = _COUNT * 4
    given, back = (ctypes.c_uint * _COUNT)(*range(_COUNT)), (ctypes.c_uint * _COUNT)()
    memory, module, kernel = ctypes.c_uint64(), ctypes.c_void_p(), ctypes.c_void_p()
    cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size))
    cuda.cuMemcpyHtoD_v2(memory, given, ctypes.c_size_t(size))
    cuda.cuModuleLoadData(ctypes.byref(module), _PTX)
    cuda.cuModuleGetFunction(ctypes.byref(kernel), module, b"add_index")
    target = ctypes.c_uint64(0) if fault else memory
    words = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(target), ctypes.c_void_p))
    cuda.cuLaunchKernel(kernel, _COUNT // 256, 1, 1, 256, 1, 1, 0, None, words, None)
    cuda.cuCtxSynchronize()
    cuda.cuMemcpyDtoH_v2(back, memory, ctypes.c_size_t(size))
    if list(back) != [2 * index for index in range(_COUNT)]:
        sys.exit("the kernel's result is wrong")
    cuda.cuMemFree_v2(memory)


def main() -> None:
    cuda = Cuda()
    cuda.cuInit(0)
    found = seen(cuda)
    device, context, held = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    cuda.cuDeviceGet(ctypes.byref(device), 0)
    cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device)
    compute(cuda, fault="fault" in sys.argv)
    if len(sys.argv) > 1:
        cuda.cuMemAlloc_v2(ctypes.byref(held), ctypes.c_size_t(int(sys.argv[1]) << 20))
    print(json.dumps(found), flush=True)  # noqa: T201 - a test reads it
    while len(sys.argv) > 1 and not os.path.exists(sys.argv[2]):  # noqa: PTH110 - it runs alone
        time.sleep(0.01)
    cuda.cuCtxDestroy_v2(context)


if __name__ == "__main__":
    main()
