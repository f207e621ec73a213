"""What each request gets: the host it names checked, then its method, then its path.

Everything unexpected ends here, as INTERNAL does for gRPC: the client gets a reference, the
log what it stands for.
"""

from __future__ import annotations

import re
import secrets
import traceback
from collections.abc import Collection
from dataclasses import dataclass

from aiohttp import web

from runner.edges.http import answers
from runner.edges.http.answers import Turned
from runner.edges.http.health import Check, Health
from runner.edges.http.output import Output
from runner.edges.http.scrape import Scrape
from runner.ports import Observer

_METHODS = ("GET", "HEAD")
_OUTPUT = re.compile(r"/tasks/([^/]+)/logs")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::\d{1,5})?")
_FAILED = 500


def host_of(header: str) -> str:
    """The host that a Host header or a "host:port" names, without its port; empty for none."""
    found = _HOST.fullmatch(header)
    return found[1].strip("[]").lower() if found else ""


@dataclass(slots=True)
class Routes:
    """`hosts` are the names that a request may call this daemon by, beside the address that
    it came in at. There is no `output` until the daemon has started."""

    hosts: Collection[str]
    health: Health
    scrape: Scrape
    observer: Observer
    output: Output | None = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """What aiohttp calls."""
        try:
            response = await self._answer(request)
        except Turned as turned:
            response = answers.text(turned.status, turned.sentence, turned.headers)
            if request.can_read_body:
                response.force_close()
        except ConnectionError:
            raise
        except Exception as error:  # noqa: BLE001 - all that is raised ends here, see above
            response = answers.text(_FAILED, self._failed(error))
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._check_host(request)
        if request.method not in _METHODS:
            raise Turned(405, "only GET and HEAD are answered here", Allow=", ".join(_METHODS))
        if request.can_read_body:
            raise Turned(400, "a request with a body is not answered here")
        path = request.rel_url.raw_path
        if path == "/healthz":
            return _checked(await self.health.alive())
        if path == "/readyz":
            return _checked(self.health.ready())
        if path == "/metrics":
            return self.scrape.answer(request.headers.get("Accept", ""))
        found = _OUTPUT.fullmatch(path)
        if found is None:
            raise Turned(404, "there are /healthz, /readyz, /metrics and /tasks/{id}/logs here")
        if self.output is None:
            raise Turned(503, "the daemon is starting", Retry_After="1")
        return await self.output.answer(request, found[1])

    def _check_host(self, request: web.BaseRequest) -> None:
        """A page of some other site, resolved to this address, must read nothing here."""
        given = request.headers.getall("Host", [])
        name = host_of(given[0]) if len(given) == 1 else ""
        if not name:
            raise Turned(400, "one Host header is needed")
        local = request.transport.get_extra_info("sockname") if request.transport else None
        if name not in self.hosts and not (local and name == local[0]):
            raise Turned(421, "this host is not served here; see http.hosts in the configuration")

    def _failed(self, error: Exception) -> str:
        reference = secrets.token_hex(6)
        self.observer.note(
            "internal error",
            level="error",
            reference=reference,
            method="http",
            error="".join(traceback.format_exception(error)),
        )
        return f"the runner failed at this request; its log says more under reference {reference}"


def _checked(checks: list[Check]) -> web.Response:
    good = not any(check.problem for check in checks)
    told = {
        check.name: {
            "ok": not check.problem,
            **({"problem": check.problem} if check.problem else {}),
        }
        for check in checks
    }
    return answers.json(200 if good else 503, {"ok": good, "checks": told})
