"""Answers that are told at once, and how a request is turned down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

HEADERS = {
    "Server": "env-runner",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Referrer-Policy": "no-referrer",  # a link's signature is in its address
}
"""On every answer."""


class Turned(Exception):
    """The request is not answered but with this status and sentence."""

    def __init__(self, status: int, sentence: str, **headers: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def text(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A sentence for a person."""
    return web.Response(status=status, text=f"{sentence}\n", headers={**HEADERS, **(headers or {})})


def json(status: int, value: Any) -> web.Response:
    """A value for a program."""
    body = msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
    return web.Response(status=status, body=body, content_type="application/json", headers=HEADERS)
