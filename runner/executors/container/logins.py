"""Credentials for registries of images: a tenant's own, out of its secrets.

Not here: what may be had with them (`images.py`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from runner.domain.failure import Failure, Fault, Reason
from runner.ports import LaunchFailed, Secrets, SecretUnfit

ANONYMOUS: Mapping[str, str] = {"X-Registry-Config": base64.b64encode(b"{}").decode()}
"""Asks without any: Podman would use those that its user has on file, for every tenant alike."""


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials for a registry."""

    username: str
    password: str = field(repr=False)

    def header(self, host: str) -> dict[str, str]:
        """As the Engine API takes them."""
        told = {"username": self.username, "password": self.password, "serveraddress": host}
        return {"X-Registry-Auth": base64.urlsafe_b64encode(json.dumps(told).encode()).decode()}


class Logins:
    """`names` are the secrets that hold them, by host (with its port) as in references."""

    def __init__(self, secrets: Secrets | None, names: Mapping[str, str]) -> None:
        self._secrets = secrets
        self._names = {host.lower(): name for host, name in names.items()}

    def has(self, tenant: str, host: str) -> bool:
        """Whether a tenant may have credentials of its own for that host."""
        return (
            host.lower() in self._names
            and self._secrets is not None
            and self._secrets.serves(tenant)
        )

    def guard(self, host: str) -> bool:
        """Whether there is a login for that host, so that some of its images may be private."""
        return host.lower() in self._names

    async def of(self, tenant: str, host: str) -> Login | None:
        """They, None where it has none. Raises LaunchFailed where its secret is unfit."""
        name = self._names.get(host.lower())
        if self._secrets is None or name is None:
            return None
        try:
            secret = await self._secrets.get(tenant, name)
        except SecretUnfit as error:
            message = f"secret {name}, the login for {host}, {error}"
            raise LaunchFailed(Failure(Reason.SECRET, message, Fault.SYSTEM)) from error
        if secret is None:
            return None
        try:
            username, colon, password = secret.decode().rstrip("\r\n").partition(":")
        except UnicodeDecodeError:
            colon = ""
        if not colon:
            message = f"secret {name}, the login for {host}, is no user:password"
            raise LaunchFailed(Failure(Reason.SECRET, message, Fault.SYSTEM))
        return Login(username, password)
