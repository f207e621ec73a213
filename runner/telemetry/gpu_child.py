"""`python -m runner.telemetry.gpu_child [LIBRARY]`: asks NVIDIA's driver, in a process of its own.

For each line on the socket that is its stdin, empty or with the UUID of one device, it answers
with one (`gpu_answer.py`); the file that is its stdout has which device it is asking. It ends when
nobody asks any more, and after an answer that it can ask the driver no more: who comes after it
loads whichever library is there by then. Not here: whoever asks (`gpu_asking.py`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import struct
import sys

from runner.telemetry.gpu_answer import PLACE, Answer, encode

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer until there is nobody to."""
    asked = socket.socket(fileno=os.dup(0))
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    daemon, _, _ = struct.unpack("3i", asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    if os.getppid() != daemon:  # it died before it could take this one along
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's: the daemon's end is this one's
    try:
        from runner.telemetry.gpu_driver import Driver  # noqa: PLC0415 - it may not be there

        look = Driver("".join(sys.argv[1:2]), _at).look
    except ImportError as error:
        problem = f"the NVIDIA driver's Python binding cannot be used: {error}"

        def look(uuid: str = "") -> Answer:  # noqa: ARG001 - see Driver.look
            return Answer(problem=problem, absent=True)

    with (
        contextlib.suppress(ConnectionError),
        asked,
        asked.makefile("rb") as lines,
    ):
        for line in lines:
            answer = look(line.strip().decode())
            asked.sendall(encode(answer))
            if not answer.driver:
                return


def _at(device: str) -> None:
    """Write down which one is asked now: nothing else gets out where the kernel holds this."""
    os.pwrite(1, device.encode(errors="replace").ljust(PLACE)[:PLACE], 0)


if __name__ == "__main__":
    main()
