"""A few calls to an engine, for what surrounds the tests: no client library, no event loop.

What is tested talks by way of the runner's own client; this is how the suite looks for itself.
"""

from __future__ import annotations

import http.client
import json
import socket
import urllib.parse
from pathlib import Path
from typing import IO, Any

SECONDS = 60.0  # for one call; what takes longer hangs
_ENDINGS = 5  # tries to remove what is ending


class Refused(Exception):
    """The engine answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("engine", timeout=SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Talk:
    """`url` is unix://PATH. Each call has a connection of its own. Raises OSError, Refused."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, method: str, path: str, body: object = None, **query: object) -> Any:
        """The JSON that is answered; text where it is none. `body` is JSON or an open file."""
        headers = {}
        if isinstance(body, dict):
            body, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        elif body is not None:
            headers = {"Content-Type": "application/x-tar"}
        words = {k: v if isinstance(v, str) else json.dumps(v) for k, v in query.items()}
        target = f"{path}?{urllib.parse.urlencode(words)}" if words else path
        connection = _Connection(self.url.removeprefix("unix://"))
        try:
            connection.request(method, target, body=body, headers=headers)  # type: ignore[arg-type]
            answer = connection.getresponse()
            said = answer.read().decode(errors="replace")
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise Refused(answer.status, said[:500])
        try:
            return json.loads(said)
        except ValueError:
            return said

    def answers(self) -> bool:
        """Whether it serves."""
        try:
            self.call("GET", "/_ping")
        except (OSError, http.client.HTTPException, Refused):
            return False
        return True

    def load(self, archive: Path) -> None:
        """Give it an image."""
        file: IO[bytes]
        with archive.open("rb") as file:
            self.call("POST", "/images/load", file, quiet="1")

    def containers(self) -> set[str]:
        """The names of all there are, whatever state they are in."""
        found = self.call("GET", "/containers/json", all="1")
        return {each["Names"][0].lstrip("/") for each in found}

    def volumes(self) -> set[str]:
        """The names of all there are."""
        return {each["Name"] for each in self.call("GET", "/volumes").get("Volumes") or []}

    def remove(self, container: str) -> None:
        """End a container, and nothing of it is left."""
        for _ in range(_ENDINGS):
            try:
                self.call("DELETE", f"/containers/{container}", force="1", v="1")
            except Refused as error:
                if error.status == http.client.NOT_FOUND:  # a daemon that was killed asked first
                    return
                if "state improper" not in str(error):  # Podman's, of one that is just ending
                    raise
                self.call("POST", f"/containers/{container}/wait")
            else:
                return
        self.call("DELETE", f"/containers/{container}", force="1", v="1")
