"""The form of `[secrets.directory]` and `[registries.HOST]`: what is secret, and who has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.config.model import SecretsDirectory
from runner.domain import image, paths
from runner.domain.identity import NAME
from runner.domain.shape import Field, ListOf, MapOf, Record, Text


def _directory(path: str, tenants: tuple[Any, ...]) -> SecretsDirectory:
    return SecretsDirectory(Path(path), frozenset(tenants))


SECRETS = Record(
    {
        "directory": Field(
            Record(
                {
                    "path": Field(
                        Text(check=paths.absolute),
                        "A directory with one file a secret, named as that; closed to others.",
                        required=True,
                    ),
                    "tenants": Field(
                        ListOf(Text(NAME)), "Who has them; an empty list is nobody.", ()
                    ),
                },
                _directory,
            ),
            "Files of secrets, in this version for the logins of registries alone.",
        )
    },
    lambda directory: directory,
)

REGISTRIES = MapOf(
    Text(
        "[A-Za-z0-9.\\[\\]:-]{1,260}",
        hint="a host as in references, with its port if any",
        check=image.host_fault,
    ),
    Record(
        {
            "login": Field(
                Text(NAME),
                "The secret that holds user:password for this registry of images, for the tenants "
                "that have it.",
                required=True,
            )
        },
        lambda login: login,
    ),
)
