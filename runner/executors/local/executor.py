"""The executor `local`: native tasks as children of the keeper.

Every question goes to the keeper, which alone knows; here is only the translation. Nothing
that happens to this process touches a task.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from runner.domain.exit import Exit
from runner.domain.task import Handle
from runner.executors.gpu_access import Access, Unseen
from runner.executors.gpu_nodes import Unknown
from runner.executors.local import asking, exits, failures, forewords, levels, reporting
from runner.executors.local.given import sealed
from runner.executors.local.link import Dismissed, KeeperRefused
from runner.executors.local.session import Session, Unreachable
from runner.keeper.messages import Malformed, Message
from runner.ports import Excerpt, Found, Launch, LaunchFailed, Readiness, Started

_VERSION = 1  # of the handles' data
_PATIENCE = 20.0  # seconds for a keeper to be there, before a launch is said to have failed
_PROBE_PATIENCE = 5.0
_LOOK_PATIENCE = 4.0  # a driver may hang
_PAUSE = 1.0
_REMEMBERED = 1000  # attempts that have ended: nobody need be asked what they did not report
_UNREADABLE = "UNREADABLE"  # the keeper's word for a record that is damaged, or newer than it


def _silent(_event: str, **_fields: object) -> None:
    """For whoever wants no notes."""


def _silent_change() -> None:
    """For whoever does not follow what is held."""


class LocalExecutor:
    """See `runner.ports.Executor`.

    `root` is the keeper's directory, `socket` where it listens (default: in there). `epoch`
    is that of the journal `journal_id`: the keeper obeys the latest. Tasks get the sandbox
    that is named, or the best that the keeper can hold. Where they have no user each they run
    as `task_user` (uid, gid), or as the keeper's own. Where no keeper listens one is started,
    unless `start_keeper` is false; `keeper_options` go on its command line. `note` is told what
    an operator may want to know; `changed` is called whenever a keeper has said what it holds.
    """

    name = "local"

    def __init__(
        self,
        root: Path,
        socket: Path | None = None,
        epoch: int = 0,
        task_user: tuple[int, int] | None = None,
        *,
        start_keeper: bool = True,
        note: Callable[..., None] = _silent,
        journal_id: str = "",
        keeper_options: Sequence[str] = (),
        sandbox: str = "",
    ) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 - of what need not be there yet
        self._task_user = task_user
        self._sandbox = sandbox
        self._note = note
        self.changed: Callable[[], None] = _silent_change
        self._boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        self._waiting: dict[str, set[asyncio.Future[Message | None]]] = {}
        # attempts launched over the link as it is now, each with its end once that is told
        self._launched: dict[str, Message | None] = {}
        # of attempts that run: set where its progress may have changed
        self._progressed: dict[str, asyncio.Event] = {}
        # of attempts that ended lately: the files in which they reported something
        self._reported: dict[str, Sequence[str]] = {}
        self._real_root = ""  # once there is one
        self._session = Session(
            self._root,
            socket or self._root / "keeper.sock",
            {"epoch": epoch, "journal": journal_id},
            start_keeper=start_keeper,
            keeper_options=keeper_options,
            on_told=self._told,
            on_connected=self._connected,
            note=note,
        )

    async def probe(self) -> Readiness:
        """Whether a keeper is there (one is started where that is wanted)."""
        try:
            question = {"type": "query", "name": "none"}
            await self._session.request(question, patience=_PROBE_PATIENCE)
        except (Unreachable, KeeperRefused) as error:
            return Readiness(ready=False, problem=f"no keeper: {error}")
        return self.said()

    def said(self) -> Readiness:
        """What the keeper said of itself when it was last connected to."""
        welcome = self._session.welcome
        if not welcome:
            return Readiness(ready=False, problem=f"no keeper: {self._session.problem}")
        return levels.readiness(welcome, self._sandbox, self._task_user)

    async def launch(self, request: Launch) -> Started:
        """See the port. Where the keeper's answer is lost it is asked again until it is known:
        it starts a name once."""
        files: list[int] = []
        running = False
        self._launched[request.name] = None  # first: its end may come with the answer
        self._progressed[request.name] = asyncio.Event()
        try:
            parts = (request.stdin, request.context, *request.files.values())
            files.extend(sealed(data) for data in parts if data is not None)
            reply = await self._ask_to_launch(request, files)
            running = reply["state"] == "running"
        except KeeperRefused as error:
            if error.code == _UNREADABLE:  # it was started before, and `wait` says the rest
                return Started(self._handle(request, ""), 0)
            raise LaunchFailed(failures.of_keeper(str(error))) from error
        except (Unreachable, Malformed, Unknown, OSError) as error:
            raise LaunchFailed(failures.of_keeper(str(error))) from error
        finally:
            for file in files:
                os.close(file)
            if not running:
                self._launched.pop(request.name, None)
                self._progressed.pop(request.name, None)
        if reply["state"] == "failed":
            raise LaunchFailed(
                failures.of_start(request, reply["stage"], reply["errno"], reply.get("text", ""))
            )
        return self._started(request, reply)

    async def _ask_to_launch(self, request: Launch, files: Sequence[int]) -> Message:
        """The keeper's answer. Where it hung up, over this or what was asked beside it, that says
        nothing of this launch, and it is asked what became of it."""
        message = await self._request(request)
        try:
            reply, _ = await self._session.request(message, files, patience=_PATIENCE)
        except Dismissed:
            reply = await self._query(request.name)
            if reply["state"] == "absent":
                raise
            if reply["state"] == "unreadable":
                raise KeeperRefused(_UNREADABLE, reply["problem"]) from None
        return reply

    async def foreword(self, name: str, text: bytes, most: int) -> None:
        """See `runner.ports.TellsBefore`."""
        if not text or most <= 0:
            return
        if problem := await forewords.tell(self._session, name, text[-most:]):
            self._note("foreword not written", attempt=name, problem=problem)

    async def adopt(self, request: Launch) -> Started | None:
        """See the port."""
        reply = await self._query(request.name)
        if reply["state"] != "absent":
            if reply["state"] == "running":
                self._progressed.setdefault(request.name, asyncio.Event()).set()
            return self._started(request, reply)
        if request.boot_id in ("", self._boot_id):
            return None
        # launch records are not fsynced: after a reboot, none is no proof that nothing ran
        return Started(self._handle(request, ""), 0)

    async def wait(self, handle: Handle) -> Exit:
        """See the port."""
        data = json.loads(handle.data)
        name, rebooted = data["name"], data["boot_id"] not in ("", self._boot_id)
        while True:
            with self._listening(name) as told:
                record = self._launched.get(name)
                if name not in self._launched:
                    reply = await self._query(name)
                    record = reply.get("record")
                    if reply["state"] != "running":
                        self._progressed.pop(name, None)
                    if reply["state"] == "absent":
                        why = "nothing is left of it on this host: how it ended cannot be learned"
                        return exits.lost(exits.REBOOTED if rebooted else why)
                    if reply["state"] == "unreadable":
                        problem = reply["problem"]
                        return exits.lost(f"the record of its end cannot be read: {problem}")
                if record is None:
                    record = await told
            if record is not None:
                self._launched.pop(name, None)
                self._progressed.pop(name, None)
                self._note_reported(name, record)
                self._session.post({"type": "seen", "name": name})
                end = exits.from_record(record)
                if end.lost and rebooted:
                    return dataclasses.replace(end, lost=exits.REBOOTED)
                return end

    async def stop(self, handle: Handle, grace: float) -> None:
        """See the port."""
        name = json.loads(handle.data)["name"]
        await self._session.request({"type": "stop", "name": name, "grace": grace})

    def directory(self, name: str) -> Path:
        """See the port."""
        return self._root / name / "output"

    async def remove(self, name: str) -> None:
        """See the port. Raises KeeperRefused (RUNNING) where it still runs."""
        try:
            await self._session.request({"type": "remove", "name": name})
        except KeeperRefused as error:
            if error.code == "RUNNING":
                raise
            # it is out of the way under another name; the next keeper tries again
            self._note("attempt not removed", attempt=name, problem=str(error))

    async def open_file(self, name: str, path: str, place: str = "workspace") -> int:
        """A descriptor, the caller's, for reading a regular file of an attempt's `workspace`
        or of its `task` directory. Raises KeeperRefused (ABSENT, REFUSED) where there is no
        such file of the task's own."""
        request = {"type": "open", "name": name, "place": place, "path": path}
        _, files = await self._session.request(request)
        return files[0]

    async def find(self, name: str, pattern: str) -> list[Found]:
        """See the port."""
        request = {"type": "find", "name": name, "pattern": pattern}
        try:
            reply, _ = await self._session.request(request)
        except KeeperRefused as error:
            if error.code == "ABSENT":
                return []
            raise
        found = [_found(each) for each in reply["found"]]
        if not reply["complete"]:
            found.append(Found(pattern, problem="there is more in the workspace than is looked at"))
        return found

    async def read_report(self, name: str, file: str, most: int) -> Excerpt | None:
        """See the port."""
        if file not in self._reported.get(name, (file,)):
            return None
        return await reporting.read(lambda: self.open_file(name, file, "task"), file, most)

    async def progressed(self, name: str) -> None:
        """See the port."""
        changed = self._progressed.get(name)
        if changed is None:  # it has ended
            await asyncio.get_running_loop().create_future()
            return
        await changed.wait()
        changed.clear()

    @property
    def keeper_pid(self) -> int | None:
        """The keeper that this executor is connected to; None where it is to none."""
        return self._session.keeper_pid

    async def look_into(self, container: str, pid: int, nodes: Sequence[str]) -> Access:
        """See `runner.executors.gpu_access.Look`: as the keeper sees it. Raises Unseen."""
        request = {"type": "access", "container": container, "pid": pid, "devices": list(nodes)}
        try:
            async with asyncio.timeout(_LOOK_PATIENCE):
                said, _ = await self._session.request(request, patience=_LOOK_PATIENCE)
        except KeeperRefused as error:
            older = error.code == "UNKNOWN_TYPE"
            why = "it is of an earlier version, and was not reloaded" if older else str(error)
            raise Unseen(why) from error
        except Unreachable as error:
            raise Unseen(str(error)) from error
        except TimeoutError as error:
            raise Unseen(f"it has not answered within {_LOOK_PATIENCE:g} s") from error
        if said["why"]:
            raise Unseen(said["why"])
        return Access(frozenset(said["seen"]), tuple(said["shut"]))

    async def close(self) -> None:
        """See the port."""
        await self._session.close()
        self._launched.clear()
        self._progressed.clear()
        for futures in self._waiting.values():
            for future in futures:
                future.cancel()

    # --- what the keeper is told, and tells -------------------------------------------------

    async def _request(self, request: Launch) -> Message:
        level = request.plan.level
        if not level:  # planned before there were sandboxes: it gets what tasks get now
            await self._session.request({"type": "query", "name": "none"}, patience=_PATIENCE)
            choice = levels.choose(self._session.welcome, self._sandbox, self._task_user)
            if choice.problem:
                raise Unreachable(choice.problem)
            level = choice.level
        if unknown := set(request.files) - await self._files_taken():
            which = ", ".join(sorted(unknown))
            raise Unreachable(f"it is of a version that puts no {which} there: reload it")
        return asking.launch(request, level, self._where(), self._task_user)

    async def _files_taken(self) -> set[str]:
        """Those that the keeper puts into a task's own directory."""
        if not self._session.welcome:
            await self._session.request({"type": "query", "name": "none"}, patience=_PATIENCE)
        return set(self._session.welcome.get("task_files", ()))

    def _where(self) -> str:
        """The root as the keeper names it, without links."""
        self._real_root = self._real_root or os.path.realpath(self._root)
        return self._real_root

    async def _query(self, name: str) -> Message:
        """How it stands: absent, running, ended, or unreadable with the `problem`."""
        while True:
            try:
                reply, _ = await self._session.request({"type": "query", "name": name})
            except KeeperRefused as error:
                if error.code == _UNREADABLE:
                    return {"state": "unreadable", "problem": str(error)}
                self._note("keeper cannot tell", attempt=name, problem=str(error))
            else:
                return reply
            await asyncio.sleep(_PAUSE)  # the host is short of something: it will not last

    def _handle(self, request: Launch, label: str) -> Handle:
        data = json.dumps({"name": request.name, "boot_id": request.boot_id})
        return Handle(self.name, _VERSION, data, label)

    def _started(self, request: Launch, reply: Message) -> Started:
        facts = reply.get("launch") or reply.get("record") or {"pid": "", "start_time": 0}
        return Started(self._handle(request, str(facts["pid"])), facts["start_time"])

    @contextlib.contextmanager
    def _listening(self, name: str) -> Iterator[asyncio.Future[Message | None]]:
        """A future of the record of an end that is told; None when it is time to ask again."""
        future: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, set()).add(future)
        try:
            yield future
        finally:
            self._waiting[name].discard(future)
            if not self._waiting[name]:
                del self._waiting[name]

    def _note_reported(self, name: str, record: Message) -> None:
        if "reported" in record:  # an earlier keeper did not say
            self._reported[name] = record["reported"]
        if len(self._reported) > _REMEMBERED:
            del self._reported[next(iter(self._reported))]

    def _told(self, message: Message) -> None:
        if message.get("type") == "ended":
            name = message["record"]["name"]
            if name in self._launched:
                self._launched[name] = message["record"]
            for future in self._waiting.get(name, ()):
                if not future.done():
                    future.set_result(message["record"])
        elif message.get("type") == "progressed" and message["name"] in self._progressed:
            self._progressed[message["name"]].set()

    def _connected(self) -> None:
        self._launched.clear()  # an end may have been told to nobody
        for changed in self._progressed.values():
            changed.set()
        self.changed()
        for futures in self._waiting.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)


def _found(told: dict[str, Any]) -> Found:
    """What the keeper tells of one thing in a workspace."""
    kind = told["kind"]
    if "why" in told:  # it went with the task's disk
        problem = told["why"]
    elif kind in {"file", "directory"}:
        problem = "" if told["own"] else "it is another user's, or has a second name (hard link)"
    else:
        problem = "it is a link" if kind == "link" else "it is no regular file"
    return Found(told["path"], told["size"], kind == "directory", problem)
