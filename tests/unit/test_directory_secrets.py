"""Files that are taken for secrets, and those that others could have put there or may read."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.domain.failure import Reason
from runner.executors.container.logins import Login, Logins
from runner.ports import LaunchFailed, SecretUnfit
from runner.secrets.directory import LARGEST, DirectorySecrets
from tests.support.secrets import MemorySecrets


def private(path: Path, data: bytes = b"x", mode: int = 0o600) -> None:
    path.write_bytes(data)
    path.chmod(mode)


def linked(path: Path) -> None:
    private(path.with_name("other"))
    path.symlink_to("other")


UNFIT: dict[str, Callable[[Path], None]] = {
    "readable by everybody": lambda path: private(path, mode=0o644),
    "writable by its group": lambda path: private(path, mode=0o660),
    "too long": lambda path: private(path, b"x" * (LARGEST + 1)),
    "a link": linked,
    "a pipe": lambda path: os.mkfifo(path, 0o600),
    "a directory": lambda path: path.mkdir(0o700),
}


@pytest.mark.parametrize("how", UNFIT)
async def test_what_others_may_read_or_have_made_is_not_taken_and_said(
    tmp_path: Path, how: str
) -> None:
    noted: list[dict[str, object]] = []
    secrets = DirectorySecrets(
        tmp_path, frozenset({"acme"}), lambda _, **fields: noted.append(fields)
    )
    UNFIT[how](tmp_path / "token")
    with pytest.raises(SecretUnfit):
        await secrets.get("acme", "token")
    assert await secrets.get("other", "token") is None
    with pytest.raises(LaunchFailed, match="secret token, the login for ") as raised:
        await Logins(secrets, {"r.example": "token"}).of("acme", "r.example")
    failure = raised.value.failure
    assert (failure.reason, failure.retryable) == (Reason.SECRET, False)
    assert [each["secret"] for each in noted] == ["token"] * 2
    assert all(each["why"] for each in noted)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640])
async def test_its_group_may_read_it(tmp_path: Path, mode: int) -> None:
    private(tmp_path / "token", b"x" * LARGEST, mode)
    secrets = DirectorySecrets(tmp_path, frozenset({"acme"}), lambda *_, **__: None)
    assert await secrets.get("acme", "token") == b"x" * LARGEST


def logins(value: bytes) -> Logins:
    return Logins(MemorySecrets({"r": value}, frozenset({"acme"})), {"r.example:5000": "r"})


async def test_a_login_is_user_and_password_of_the_tenant_for_exactly_that_host() -> None:
    known = logins(b"robot:pass:word\n")
    for host in ("r.example:5000", "R.Example:5000"):
        assert known.has("acme", host)
        assert await known.of("acme", host) == Login("robot", "pass:word")
    for tenant, host in (("acme", "r.example"), ("other", "r.example:5000"), ("", "")):
        assert not known.has(tenant, host)
        assert await known.of(tenant, host) is None


@pytest.mark.parametrize("value", [b"", b"nothing", b"\xff:\xff"])
async def test_a_login_that_is_none_is_told_without_its_value(value: bytes) -> None:
    with pytest.raises(LaunchFailed) as raised:
        await logins(value).of("acme", "r.example:5000")
    failure = raised.value.failure
    assert failure.reason is Reason.SECRET
    assert "r.example:5000" in failure.message
    assert "nothing" not in failure.message
