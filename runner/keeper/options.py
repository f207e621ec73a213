"""The keeper's command line: what each option means, and what they come to together. What they are
is told in `__main__.py`.
"""

from __future__ import annotations

import os
import pwd
import sys
from typing import NoReturn

from runner import __version__
from runner.keeper.defence import Settings
from runner.keeper.users import Pool

_MOST = {"max-memory", "max-cpu", "max-processes", "max-disk", "max-output"}
_OPTIONS = {"root", "socket", "idle-exit", "allow-users", "daemon-uid", "resume"} | {
    "forsaken",
    "task-users",
    "max-cpu",
    "max-memory",
    "max-processes",
    "max-disk",
    "max-output",
    "mounts",
    "view",
}
_FLAGS = {"detach", "no-cgroups", "check-state", "allow-none", "no-ahead"}
_USAGE = 2
_FEW = 1024.0  # more cores than any host has: bytes and processes are whole


def read(arguments: list[str], usage: str | None) -> dict[str, str]:
    """`--name value`, `--name=value` and `--flag`. Exits with a line where it is neither."""
    found: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        name, given, value = word.removeprefix("--").partition("=")
        if name in _FLAGS and not given:
            found[name] = ""
        elif word.startswith("--") and name in _OPTIONS:
            found[name] = value if given else next(words, "")
        if found.get(name, "") == "" and name not in _FLAGS:
            leave(_USAGE, f"{word[:64]!r} is no option with a value\n{usage}")
    if "root" not in found:
        leave(_USAGE, f"--root is missing\n{usage}")
    return found


def leave(status: int, text: str) -> NoReturn:
    """End with a line on stderr."""
    os.write(2, f"env-runner keeper: {text}\n".encode())
    sys.exit(status)


def settings_of(options: dict[str, str]) -> tuple[Settings, float]:
    """What they come to, and after how many idle seconds to end. Exits where that is nothing."""
    settings = Settings()
    settings.version = __version__
    try:
        if "daemon-uid" in options:
            settings.daemon_uid = _uid(options["daemon-uid"])
        if "allow-users" in options:
            settings.users = []
            for part in options["allow-users"].split(","):
                first, dash, last = part.partition("-")
                if not (dash and first.isdecimal()):  # a name may have a dash in it
                    first = last = part
                settings.users.append(range(_uid(first), _uid(last) + 1))
        _set_bounds(settings, options)
        return settings, float(options.get("idle-exit", "inf"))
    except ValueError:
        text = "--daemon-uid and --allow-users take users, --task-users takes FIRST-LAST of uids "
        leave(_USAGE, f"{text}from 1000 on, --max-… take whole numbers, --idle-exit seconds")


def _set_bounds(settings: Settings, options: dict[str, str]) -> None:
    """What tasks may have and see. Raises ValueError."""
    if "task-users" in options:
        settings.pool = Pool.parse(options["task-users"])
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGESIZE")
    given = {key.removeprefix("max-"): text for key, text in options.items() if key in _MOST}
    for key, text in given.items():
        whole = {"memory": memory, "disk": memory, "cpu": os.cpu_count() or 1}.get(key)
        settings.most[key] = _amount(text, whole)
    for root in options["mounts"].split(",") if "mounts" in options else ():
        path, _, writable = root.partition(":")
        if not os.path.isabs(path) or writable not in ("", "rw"):
            leave(
                _USAGE,
                f"--mounts takes absolute paths, with :rw where they may be written to, "
                f"not {root!r:.200}",
            )
        settings.mounts[os.path.normpath(path)] = writable == "rw"
    if "view" in options:
        settings.view = options["view"].split(":")
        if not all(map(os.path.isabs, settings.view)):
            leave(_USAGE, f"--view takes absolute paths, not {options['view']!r:.200}")
    settings.allow_none = "allow-none" in options
    settings.ahead = "no-ahead" not in options


def _amount(text: str, whole: float | None) -> float:
    """A number above 0, or `N%` of the whole, where there is one. Raises ValueError."""
    number, percent, rest = text.partition("%")
    amount = float(number)
    if percent:
        amount *= (whole or 0) / 100
    if rest or not 0 < amount < float("inf"):
        raise ValueError(f"{text!r:.40} is no amount")
    return int(amount) if (amount >= 1 and amount.is_integer()) or amount > _FEW else amount


def _uid(user: str) -> int:
    """The uid that is meant by a number or a name. Raises ValueError where it is neither."""
    if user.isdecimal():
        return int(user)
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        leave(_USAGE, f"there is no user {user[:64]!r} here")
