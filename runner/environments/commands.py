"""What uv is asked, in words: to resolve requirements to a lock, and to install a lock. Pure.

Nothing of the host's settings counts: no configuration files, no keyring, no interpreters that uv
would fetch. The login of the index goes by variable, never in words that others can see.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit, urlunsplit

from runner.environments.values import Settings


class Sources(NamedTuple):
    """Where a build finds uv, and the directories with packages."""

    uv: str
    houses: tuple[str, ...]


def resolve(
    interpreter: str, requirements: Sequence[str], settings: Settings, sources: Sources
) -> dict[str, Any]:
    """For a lock, with the hash of each file that may be taken."""
    words = ["pip", "compile", "requirements.txt", "--output-file", "lock.txt", "--quiet"]
    words += ["--python", interpreter, "--generate-hashes", "--no-header", "--no-annotate"]
    words += ["--no-emit-index-url", "--no-emit-find-links", *_options(settings, sources)]
    asked = "".join(f"{each}\n" for each in requirements)
    return _request(sources.uv, [words], asked, settings, archive=False)


def install(interpreter: str, lock: str, settings: Settings, sources: Sources) -> dict[str, Any]:
    """For an environment that can be moved, of exactly what the lock names."""
    make = ["venv", "environment", "--python", interpreter, "--relocatable", "--no-project"]
    fill = ["pip", "install", "--python", "environment/bin/python", "--require-hashes"]
    fill += ["--no-deps", "--requirement", "requirements.txt", *_options(settings, sources)]
    return _request(sources.uv, [[*make, "--quiet"], fill], lock, settings, archive=True)


def _options(settings: Settings, sources: Sources) -> list[str]:
    words = [] if settings.source_builds else ["--only-binary", ":all:"]
    for house in sources.houses:
        words += ["--find-links", house]
    return words if settings.index else [*words, "--no-index"]


def _request(
    uv: str, commands: list[list[str]], requirements: str, settings: Settings, *, archive: bool
) -> dict[str, Any]:
    variables = {
        "NO_COLOR": "1",
        "UV_NO_CONFIG": "1",
        "UV_NO_PROGRESS": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_KEYRING_PROVIDER": "disabled",
        "UV_SYSTEM_CERTS": "1",
        "UV_LINK_MODE": "hardlink",
    }
    if settings.index:
        variables["UV_DEFAULT_INDEX"] = with_login(settings.index, settings.login)
    else:
        variables["UV_OFFLINE"] = "1"
    return {
        "uv": uv,
        "commands": commands,
        "requirements": requirements,
        "variables": variables,
        "archive": archive,
    }


def with_login(url: str, login: str) -> str:
    """A URL with user and password in it, where there are such."""
    if not login:
        return url
    user, _, password = login.partition(":")
    parts = urlsplit(url)
    place = f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc}"
    return urlunsplit(parts._replace(netloc=place))


def hidden(text: str, login: str) -> str:
    """A text without the login, in whichever form: what uv says is shown to tasks."""
    if not login:
        return text
    user, _, password = login.partition(":")
    secrets = {login, password, quote(password, safe=""), f"{quote(user)}:{quote(password)}"}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "****")
    return text
