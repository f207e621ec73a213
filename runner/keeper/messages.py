"""What daemon and keeper say to each other: frames of JSON over a unix stream socket.

A frame is a length (4 bytes, little-endian) and so many bytes of one JSON object with `type`
and `id`. Every field has a type and a bound here; whatever else comes is refused. Not here:
the descriptors that go along, and what is done for a request.
"""

from __future__ import annotations

import json
import re
from typing import Any

PROTOCOL = 3  # both sides must speak the same; a hello with another is refused
FRAME_LIMIT = 2 * 1024 * 1024  # a payload of 1 MiB fits with room for escapes
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # no dot: never a file of a cgroup's own
DEVICE = re.compile(r"/dev/nvidia(?:[0-9]{1,3}|ctl|-uvm|-uvm-tools)")
"""A whole GPU's own node, and those that all of them share. Not here: what cuts GPUs into parts
(nvidia-caps), displays (nvidia-modeset), switches."""

FILES = ("call.py", "call.json", "script.py")
"""What a launch may put into the task's own directory, beside its context."""

CONTAINER = re.compile(r"[0-9a-f]{64}")  # its id, as engines give them

PLACES = ("workspace", "task")
LEVELS = ("strict", "standard", "none")  # of isolation, the best first
NETWORKS = ("none", "host")
LIMITS = ("memory", "cpu", "processes", "disk")
_MOST = 1000  # mounts of a launch, and patterns: as many as a payload may name
_MOST_DEVICES = 16  # nodes: of one GPU there are four
_PATH_MAX = 4096

Message = dict[str, Any]


class Malformed(Exception):
    """A message that is none. `code` is for programs; the text says what was wrong."""

    def __init__(self, code: str, message: str, id_: int = 0) -> None:
        super().__init__(message)
        self.code = code
        self.id = id_


def _integer(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _seconds(value: Any) -> bool:
    # a float that is no number fails both comparisons
    return type(value) in (int, float) and 0 <= value <= 1e9  # noqa: PLR2004 - 30 years


def _limit(value: Any) -> bool:
    return value is None or _seconds(value)


def _text(value: Any) -> bool:
    if type(value) is not str or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= char <= "\udfff" for char in value)


def _texts(value: Any) -> bool:
    return type(value) is list and len(value) > 0 and all(map(_text, value)) and value[0] != ""


def _environment(value: Any) -> bool:
    return type(value) is dict and all(
        _text(key) and key and "=" not in key and _text(item) for key, item in value.items()
    )


def _user(value: Any) -> bool:
    # 2^32-1 means "leave as it is" to setresuid
    return value is None or (
        type(value) is list
        and len(value) == 2  # noqa: PLR2004 - uid, gid
        and all(_integer(number) and number < (1 << 32) - 1 for number in value)
    )


def _name(value: Any) -> bool:
    return type(value) is str and NAME.fullmatch(value) is not None


def _path(value: Any) -> bool:
    return _text(value) and len(value) <= _PATH_MAX and not value.startswith("/")


def _place(value: Any) -> bool:
    return value in PLACES


def _flag(value: Any) -> bool:
    return type(value) is bool


def _level(value: Any) -> bool:
    return type(value) is str and value in LEVELS


def _network(value: Any) -> bool:
    return type(value) is str and value in NETWORKS


def _limits(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() == set(LIMITS)
        and all(
            amount is None
            or (_integer(amount) and amount > 0)
            or (key == "cpu" and _seconds(amount) and amount > 0)
            for key, amount in value.items()
        )
    )


def _mount(value: Any) -> bool:
    return (
        type(value) is dict
        and value.keys() == {"source", "target", "read_only"}
        and all(
            _text(value[key]) and len(value[key]) <= _PATH_MAX and value[key].startswith("/")
            for key in ("source", "target")
        )
        and _flag(value["read_only"])
    )


def _mounts(value: Any) -> bool:
    return type(value) is list and len(value) <= _MOST and all(map(_mount, value))


def _devices(value: Any) -> bool:
    return (
        type(value) is list
        and len(value) <= _MOST_DEVICES
        and all(type(path) is str and DEVICE.fullmatch(path) for path in value)
    )


def _files(value: Any) -> bool:
    return (
        type(value) is list
        and all(type(name) is str and name in FILES for name in value)
        and len(set(value)) == len(value)
    )


def _container(value: Any) -> bool:
    return type(value) is str and CONTAINER.fullmatch(value) is not None


def _patterns(value: Any) -> bool:
    # an output may lie below the working directory, or not
    return type(value) is list and len(value) <= 2 * _MOST and all(map(_path, value))


REQUESTS = {
    "hello": {"protocol": _integer, "epoch": _integer, "journal": _text},
    "launch": {
        "name": _name,
        "task_id": _text,
        "argv": _texts,
        "env": _environment,
        "cwd": _path,
        "user": _user,
        "wall": _limit,
        "idle": _limit,
        "grace": _seconds,
        "output": _integer,
        "stdin": _flag,  # one sealed memfd comes along for each that is true, in this order
        "context": _flag,
        "level": _level,
        "limits": _limits,  # bytes, cores, processes; null: none, and for disk: not sized
        "rlimits": _limits,  # of what no cgroup holds, for each process alone; cpu has none
        "network": _network,
        "mounts": _mounts,
        "keep": _patterns,  # what of a sized workspace outlives a task that ended well
        "keep_always": _patterns,  # and however it ended
    },
    "foreword": {"name": _name},  # with a sealed memfd: what is told before a launch
    "query": {"name": _name},
    "stop": {"name": _name, "grace": _seconds},
    "seen": {"name": _name},
    "remove": {"name": _name},
    "open": {"name": _name, "place": _place, "path": _path},
    "find": {"name": _name, "pattern": _path},
    "access": {"container": _container, "pid": _integer, "devices": _devices},
    "list": {},
    "reload": {},
}
"""What a daemon may ask, with a check for each field; all of these are required."""

OPTIONAL = {"launch": {"devices": _devices, "task_files": _files}}
"""Fields that a request may have beside them: who never sends one is understood by a keeper of
before, too. `devices` are nodes that the task is given; none where it is absent. For each of
`task_files`, which are put into the task's own directory, one sealed memfd comes along behind the
others; a keeper that takes such says which in its welcome."""


def encode(message: Message) -> bytes:
    """The frame of a message. Raises Malformed (TOO_LARGE) where it would be too long."""
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
    if len(body) > FRAME_LIMIT:
        raise Malformed("TOO_LARGE", f"a message of {len(body)} bytes; {FRAME_LIMIT} at most")
    return len(body).to_bytes(4, "little") + body


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is no number")


def decode(body: bytes) -> Message:
    """The message in a frame, an object at least. Raises Malformed (NOT_JSON)."""
    try:
        message = json.loads(body.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Malformed("NOT_JSON", f"a frame that is not JSON: {str(error)[:200]}") from error
    if type(message) is not dict:
        raise Malformed("NOT_JSON", "a frame that is no JSON object")
    return message


def check(message: Message) -> Message:
    """The message itself where it is a request in every field. Raises Malformed."""
    number = message.get("id")
    if type(number) is not int or not _integer(number):
        raise Malformed("BAD_VALUE", "a request needs an id: an integer of 0 or more")
    fields = REQUESTS.get(message["type"]) if type(message.get("type")) is str else None
    if fields is None:
        raise Malformed("UNKNOWN_TYPE", f"no request of type {message.get('type')!r:.80}", number)
    optional = OPTIONAL.get(message["type"], {})
    for key, value in message.items():
        if key not in fields and key not in optional and key not in ("id", "type"):
            raise Malformed("UNKNOWN_KEY", f"{message['type']} has no field {key!r:.80}", number)
        if key in optional and not optional[key](value):
            raise Malformed("BAD_VALUE", f"{message['type']}: {key} has no such value", number)
    for key, valid in fields.items():
        if key not in message or not valid(message[key]):
            problem = "is missing" if key not in message else "has no such value"
            raise Malformed("BAD_VALUE", f"{message['type']}: {key} {problem}", number)
    return message


class Frames:
    """Bytes in, frames out. A frame that is too long cannot be skipped: the stream is over."""

    def __init__(self) -> None:
        self._held = bytearray()

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not whole yet."""
        return bool(self._held)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now. Raises Malformed (TOO_LARGE)."""
        self._held += data
        frames, start = [], 0
        while len(self._held) - start >= 4:  # noqa: PLR2004 - the length's own
            size = int.from_bytes(self._held[start : start + 4], "little")
            if size > FRAME_LIMIT:
                raise Malformed("TOO_LARGE", f"a frame of {size} bytes; {FRAME_LIMIT} at most")
            if len(self._held) - start - 4 < size:
                break
            frames.append(bytes(self._held[start + 4 : start + 4 + size]))
            start += 4 + size
        del self._held[:start]
        return frames
