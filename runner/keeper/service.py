"""Answers daemons: who may ask, who is the latest, and what is done for each request."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket

from runner.keeper import defence, files, keeping, launching, messages, predecessor, records, spawn
from runner.keeper.ahead import Ahead
from runner.keeper.attempt import Attempt, Host, now
from runner.keeper.connections import Connection
from runner.keeper.defence import Refused, Settings
from runner.keeper.device_trial import Trials
from runner.keeper.devices import Device
from runner.keeper.foreword import tell
from runner.keeper.ground import Ground, Shape, StartFailed
from runner.keeper.launching import Preparation
from runner.keeper.loop import Loop, log
from runner.keeper.messages import NAME, Malformed, Message
from runner.keeper.preparing import Preparing
from runner.keeper.records import Record
from runner.keeper.users import Exhausted
from runner.keeper.view import Sandboxes

_STRANGERS = 16  # connections that have not said hello
_LISTED = 20_000
_TEXT_LIMIT = 1000  # characters of what a program said that made a sandbox

Reply = tuple[Connection, int]


class Service:
    """The listening socket and the connections; at most one of them is the daemon's."""

    def __init__(
        self,
        host: Host,
        loop: Loop,
        sock: socket.socket,
        settings: Settings,
        sandboxes: Sandboxes,
    ) -> None:
        self.host = host
        self.preparing = Preparing(loop, sandboxes, self._on_failed)
        never = host.cgroups is None or not settings.ahead
        self.ahead = Ahead(loop, sandboxes, self._free, never=never)
        self.trials = Trials(loop)
        self.loop = loop
        self.settings = settings
        self.epoch = 0
        self.journal = ""
        self.daemon: Connection | None = None
        self._sock = sock
        self._strangers: list[Connection] = []
        self._behind: set[str] = set()  # whose progress was told of and not looked at since
        self._starting: dict[str, list[Reply]] = {}
        loop.on_started = self._on_started
        loop.on_end = self._on_end
        loop.on_progress = self._on_progress
        loop.watch(sock.fileno(), self._accept)

    @property
    def connected(self) -> bool:
        """Whether a daemon is there."""
        return self.daemon is not None and self.daemon.open

    def close(self) -> None:
        """Drop everybody; the listening socket stays as it is."""
        for connection in (*self._strangers, self.daemon):
            if connection is not None:
                connection.close()

    # --- who asks ---------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            sock, _ = self._sock.accept()
        except OSError:
            return  # it has gone again, or no descriptor is left: then later
        connection = Connection(sock, self.loop, self._on_frame)
        if connection.uid not in {os.geteuid(), 0, self.settings.daemon_uid}:
            uid = connection.uid
            connection.dismiss("WRONG_USER", f"uid {uid} may not use this keeper (--daemon-uid)")
            return
        self._strangers = [each for each in self._strangers if each.open and not each.greeted]
        if len(self._strangers) >= _STRANGERS:
            self._strangers.pop(0).close()
        self._strangers.append(connection)

    def _on_frame(self, connection: Connection, frame: bytes) -> None:
        number = 0
        try:
            request = messages.check(messages.decode(frame))
            number = request["id"]
            _check_order(connection, request)
            reply = getattr(self, "_" + request["type"])(connection, request)
            if reply is not None and number != 0:  # 0: no answer is wanted
                connection.send({"type": "done", "id": number, **reply})
        except Malformed as error:
            self._refuse(connection, number or error.id, error.code, str(error))
        except Refused as error:
            self._refuse(connection, number, error.code, str(error))
        except records.Unreadable as error:
            self._refuse(connection, number, "UNREADABLE", str(error))
        except OSError as error:
            code = "ABSENT" if error.errno == errno.ENOENT else "FAILED"
            self._refuse(connection, number, code, error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - every task of the host hangs on this process
            log(f"a request failed unexpectedly: {error!r}")
            self._refuse(connection, number, "INTERNAL", "the keeper's log says more")

    def _refuse(self, connection: Connection, number: int, code: str, text: str) -> None:
        connection.send({"type": "error", "id": number, "code": code, "message": text})

    def _hello(self, connection: Connection, request: Message) -> Message:
        if request["protocol"] != messages.PROTOCOL:
            raise Refused(
                "OTHER_PROTOCOL",
                f"this keeper (version {self.settings.version}) speaks protocol "
                f"{messages.PROTOCOL}, the daemon {request['protocol']}: reload the keeper",
            )
        same = request["journal"] == self.journal
        if same and request["epoch"] < self.epoch:
            raise Refused("OLD_EPOCH", f"a daemon with epoch {self.epoch} has taken over")
        if not same and self.connected:
            raise Refused("OTHER_JOURNAL", "the daemon of another journal uses this keeper")
        for other in (*self._strangers, self.daemon):
            if other is not None and other is not connection:
                other.close()
        self.epoch, self.journal, self.daemon = request["epoch"], request["journal"], connection
        connection.greeted = True
        self._behind.clear()
        return {
            "instance": self.host.instance,
            "version": self.settings.version,
            "pid": os.getpid(),
            "uid": os.geteuid(),
            "boot_id": self.host.boot_id,
            "root": self.host.root,
            "mode": "process-group" if self.host.cgroups is None else "cgroup2",
            "notes": self.settings.notes,
            "levels": self.settings.levels,
            "held": self.settings.held,
            "devices": self.settings.devices,
            "task_files": list(messages.FILES),
            "mounts": self.settings.mounts,
            "idle": self.loop.idle,
            "users": "" if self.settings.pool is None else str(self.settings.pool),
        }

    # --- attempts ---------------------------------------------------------------------------

    def _launch(self, connection: Connection, request: Message) -> Message | None:
        name = request["name"]
        # those of a request that comes behind it may be here already
        wanted = launching.given(request)
        given = [connection.files.popleft() for _ in range(min(wanted, len(connection.files)))]
        try:
            if name in self.loop.preparing or self._state(name)["state"] != "absent":
                return self._query(connection, request)
            if self.loop.leaving:
                raise Refused("STOPPING", "the keeper was told to stop")
            defence.check_launch(self.settings, request, connection.uid)
            defence.check_sealed(given, wanted)
            reader = connection.gid if os.geteuid() == 0 else -1
            self._begin(self._preparation(request, given, reader, defence.devices_of(request)))
        except StartFailed as error:
            return _failed(error)
        finally:
            for file in given:
                os.close(file)
        return self._query(connection, request)

    def _foreword(self, connection: Connection, request: Message) -> Message:
        name = request["name"]
        if not connection.files:
            raise Refused("BAD_FILES", "not the descriptor that a foreword needs")
        file = connection.files.popleft()
        try:
            if name in self.loop.preparing or self._state(name)["state"] != "absent":
                raise Refused("RUNNING", "what was started needs no foreword any more")
            defence.check_sealed([file], 1)
            reader = connection.gid if os.geteuid() == 0 else -1
            tell(self.host.directory, name, file, reader)
        finally:
            os.close(file)
        return {}

    def _begin(self, preparation: Preparation) -> None:
        """Raises StartFailed."""
        try:
            if preparation.request["level"] == "strict":
                self.preparing.begin(preparation)
            else:
                self.loop.add(preparation.start())
        except StartFailed:
            if preparation.ground.name != preparation.name:
                self.ahead.drop(preparation.ground)
            raise

    def _preparation(
        self, request: Message, given: list[int], reader: int, devices: tuple[Device, ...]
    ) -> Preparation:
        """All of a launch but its start, on a ground that was made ahead where there is one.
        Raises StartFailed."""
        extra = launching.room(request, given)
        pooled = defence.pooled(request)
        shape = Shape.of(request, reader, pooled=pooled, extra=extra, devices=devices)
        ground = None
        # what is nobody's yet has nothing of anybody's; a device's nodes are whoever's leases it
        if not request["mounts"] and not os.path.lexists(f"{self.host.root}/{request['name']}"):
            ground = self.ahead.take(shape)
        if ground is None:
            try:
                user = self._choose(shape)
            except Exhausted as error:
                raise StartFailed("user", errno.EAGAIN) from error
            ground = Ground(self.host, shape, user, request["name"])
        try:
            return Preparation(ground, request, given)
        except StartFailed:
            if ground.name != request["name"]:
                self.ahead.drop(ground)
            raise

    def _choose(self, shape: Shape) -> spawn.User | None:
        """Whom a task runs as, if need be who was kept for another; None for the keeper's own.
        Raises Exhausted."""
        try:
            return self._free(shape)
        except Exhausted:
            self.ahead.clear()
            return self._free(shape)

    def _free(self, shape: Shape) -> spawn.User | None:
        """Likewise of those who are nobody's. Raises Exhausted."""
        if self.settings.pool is None or not shape.pooled:
            return shape.user
        return self.settings.pool.free(itertools.chain(self.loop.uids(), self.ahead.uids()))

    def _on_started(self, attempt: Attempt) -> None:
        for connection, id_ in self._starting.pop(attempt.name, ()):
            reply: Message = {"state": "running", "launch": _public(attempt.launch)}
            if attempt.problem is not None:
                stage, number = attempt.problem
                reply = {"state": "failed", "stage": stage, "errno": number}
            connection.send({"type": "done", "id": id_, **reply})

        self.ahead.started()

    def _on_failed(self, name: str, error: StartFailed) -> None:
        for connection, id_ in self._starting.pop(name, ()):
            connection.send({"type": "done", "id": id_, **_failed(error)})

    def _on_progress(self, name: str) -> None:
        """Once for each time that the daemon looks: one that is slow is not sent any more."""
        if self.daemon is not None and self.daemon.open and name not in self._behind:
            self._behind.add(name)
            self.daemon.send({"type": "progressed", "id": 0, "name": name})

    def _on_end(self, record: Record) -> None:
        self._behind.discard(record["name"])
        if self.daemon is not None and self.daemon.open:
            self.daemon.send({"type": "ended", "id": 0, "record": record})
        self.ahead.lull()

    def _state(self, name: str) -> Message:
        attempt = self.loop.attempts.get(name)
        if attempt is not None:
            return {"state": "running", "launch": _public(attempt.launch)}
        record = self.loop.unrecorded.get(name)
        if record is None:
            try:
                directory = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.host.directory)
            except FileNotFoundError:
                return {"state": "absent"}
            with contextlib.ExitStack() as opened:
                opened.callback(os.close, directory)
                record = predecessor.end(self.host, directory)
        return {"state": "absent"} if record is None else {"state": "ended", "record": record}

    def _query(self, connection: Connection, request: Message) -> Message | None:
        name, attempt = request["name"], self.loop.attempts.get(request["name"])
        starting = attempt is not None and (attempt.exec_pipe >= 0 or attempt.problem is not None)
        if starting or name in self.loop.preparing:
            self._starting.setdefault(name, []).append((connection, request["id"]))
            return None  # answered once it is known whether it was started
        return self._state(request["name"])

    def _stop(self, _: Connection, request: Message) -> Message:
        attempt = self.loop.attempts.get(request["name"])
        grace = round(request["grace"] * 1e9)
        if attempt is not None:
            self.loop.stop(attempt, grace, "requested")
        else:
            self.preparing.stop(request["name"], grace)
        return {}

    def _seen(self, _: Connection, request: Message) -> Message:
        self.loop.forget_end(request["name"])
        return {}

    def _list(self, _c: Connection, _r: Message) -> Message:
        names = [name for name in os.listdir(self.host.directory) if NAME.fullmatch(name)]
        listed = [name for name in names if os.path.isdir(f"{self.host.root}/{name}")][:_LISTED]
        running = [*self.loop.attempts, *self.loop.preparing]
        return {"running": running, "names": listed}

    def _reload(self, _c: Connection, _r: Message) -> Message:
        self.loop.reload()
        return {}

    def _access(self, connection: Connection, request: Message) -> Message | None:
        def answer(said: Message) -> None:
            connection.send({"type": "done", "id": request["id"], **said})

        self.trials.begin(request["container"], request["pid"], request["devices"], answer)
        return None

    # --- files ------------------------------------------------------------------------------

    def _remove(self, connection: Connection, request: Message) -> Message | None:
        name = request["name"]
        if name in self.loop.attempts or name in self.loop.preparing:
            raise Refused("RUNNING", "an attempt that runs cannot be removed")
        self.loop.forget_end(name)
        if name in self.loop.closing:
            self.loop.closing.pop(name).close()  # type: ignore[attr-defined]  # a generator
        self.host.disks.unmount(name)
        if self.host.cgroups is not None:
            self.host.cgroups.remove(name)
        gone = files.REMOVING + f"{name}.{now()}"
        try:
            os.rename(name, gone, src_dir_fd=self.host.directory, dst_dir_fd=self.host.directory)
        except FileNotFoundError:
            return {}
        steps = files.remove(self.host.directory, gone)

        def removal() -> predecessor.Steps:
            try:
                yield from steps
            except OSError as error:
                text = f"{name} cannot be removed: {error.strerror}"
                self._refuse(connection, request["id"], "FAILED", text)
            else:
                connection.send({"type": "done", "id": request["id"]})

        self.loop.removals[gone] = removal()
        return None

    def _open(self, connection: Connection, request: Message) -> Message | None:
        if request["place"] == "task":
            self._behind.discard(request["name"])  # what is written from now on is told again
        try:
            with self._place(request["name"], request["place"]) as (place, owners):
                file = files.open_file(place, request["path"], owners)
        except files.Refused as error:
            raise Refused("REFUSED", f"{request['path'][:200]}: {error}") from error
        except FileNotFoundError as error:
            why = keeping.untold(self.host.directory, request["name"], request["path"])
            if request["place"] == "task" and why:
                raise Refused("REFUSED", f"{request['path'][:200]}: {why}") from error
            raise
        size = os.fstat(file).st_size
        connection.send({"type": "done", "id": request["id"], "size": size, "files": 1}, file)
        return None

    def _find(self, _: Connection, request: Message) -> Message:
        with self._place(request["name"], "workspace") as (place, owners):
            found, complete = files.find(place, request["pattern"], owners)
        refused, cut = keeping.notes(self.host.directory, request["name"], request["pattern"])
        return {"found": [*found, *refused], "complete": complete and not cut}

    @contextlib.contextmanager
    def _place(self, name: str, place: str) -> predecessor.Places:
        directory = launching.place(self.host.directory, name, place)
        try:
            yield directory, {os.fstat(directory).st_uid, os.geteuid()}
        finally:
            os.close(directory)


def _check_order(connection: Connection, request: Message) -> None:
    if connection.greeted == (request["type"] == "hello"):
        raise Refused("BAD_ORDER", "the first request, and no other, is a hello")


def _failed(error: StartFailed) -> Message:
    text = error.text[:_TEXT_LIMIT]
    return {"state": "failed", "stage": error.stage, "errno": error.number, "text": text}


def _public(launch: Record) -> Record:
    return {key: launch[key] for key in ("pid", "start_time", "boot_id", "instance")}
