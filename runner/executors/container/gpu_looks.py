"""Looks at the GPUs of containers: by this process, or else by whoever may look where it may not.

A daemon without privilege sees neither which devices a container has, nor, under cgroup v2,
whether it may open them; a keeper that is root does both for it. What neither can see is told once,
and never taken for an answer. Not here: what is looked at, and how (`gpus.py`, `device_access.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from runner.executors.container import device_access, gpus
from runner.executors.gpu_access import Access, Look, Unseen
from runner.keeper import devices


class GpuLooks:
    """Of one engine. `note` is told why a promise is not kept here; `beyond` looks where this
    process may not, None where there is nobody."""

    def __init__(self, name: str, note: Callable[..., None], beyond: Look | None = None) -> None:
        self._name, self._note, self._beyond = name, note, beyond
        self._told: set[str] = set()

    async def difference(self, container: str, pid: int, minors: Sequence[int]) -> str:
        """How the GPUs that it sees differ from those with these numbers; empty where they do not,
        and where that cannot be seen."""
        try:
            return gpus.difference(pid, minors)
        except Unseen as unseen:
            if not (minors or devices.majors()):  # there is none that it could see
                return ""
            why = unseen
        try:
            access = await self._ask(container, pid, (), why)
        except Unseen as unseen:
            self._tell(str(unseen))
            return ""
        return gpus.compared(access.minors, minors)

    async def problem(
        self,
        container: str,
        minors: Sequence[int],
        pid_of: Callable[[], Awaitable[int]],
        *,
        kept: bool,
    ) -> str:
        """Why it may open its GPUs no more; empty where it may, has ended, or that cannot be seen.
        `pid_of` says the pid of its first process now, 0 where it does not run; with `kept` nobody
        takes such rights away."""
        pid = await pid_of()
        if not pid:
            return ""
        nodes = [f"/dev/nvidia{minor}" for minor in minors]
        try:
            return await asyncio.to_thread(device_access.problem, container, pid, nodes)
        except Unseen as unseen:
            why = unseen
        try:
            access = await self._ask(container, pid, nodes, why)
        except Unseen as unseen:
            # what has ended meanwhile looks alike
            if not kept and await pid_of() == pid:
                self._tell(str(unseen))
            return ""
        return device_access.said(access.shut)

    async def _ask(self, container: str, pid: int, nodes: Sequence[str], why: Unseen) -> Access:
        if self._beyond is None:
            raise why
        try:
            return await self._beyond(container, pid, nodes)
        except Unseen as unseen:
            raise Unseen(f"{why}; nor can the keeper: {unseen}") from unseen

    def _tell(self, problem: str) -> None:
        if problem not in self._told:
            self._told.add(problem)
            fields = {"executor": self._name, "problem": problem}
            self._note("GPUs of containers not checked", level="warning", **fields)
