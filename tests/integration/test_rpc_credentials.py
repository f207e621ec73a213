"""The client's credentials: TLS on both sides, and tokens, which are never sent in the clear."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from supervisor import credentials
from supervisor.client import Supervisor
from supervisor.errors import SupervisorError, Unavailable
from supervisor.v1 import supervisor_pb2 as v1
from supervisor.v1.supervisor_pb2_grpc import SupervisorServicer, add_SupervisorServicer_to_server


class Door(SupervisorServicer):
    """Lets everybody in and remembers what they showed."""

    def __init__(self) -> None:
        self.shown: list[object] = []

    async def GetRunner(  # noqa: N802 - the protocol names the call
        self, request: v1.GetRunnerRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> v1.Runner:
        peer = context.auth_context().get("x509_common_name", [b""])[0]
        self.shown.append((dict(context.invocation_metadata() or ()).get("authorization"), peer))
        return v1.Runner(runner_id="behind the door")


@asynccontextmanager
async def behind(door: Door, address: str, kind: grpc.ServerCredentials) -> AsyncIterator[str]:
    server = grpc.aio.server()
    add_SupervisorServicer_to_server(door, server)
    port = server.add_secure_port(address, kind)
    await server.start()
    try:
        yield address if address.startswith("unix:") else f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Keys and certificates that sign themselves, for the runner and for a caller."""
    directory = tmp_path_factory.mktemp("pem")
    pems = {}
    for name, alternative in (("runner", "IP:127.0.0.1"), ("caller", "DNS:caller")):
        key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", key, "-out", certificate,
             "-addext", f"subjectAltName={alternative}"],
            check=True, capture_output=True,
        )  # fmt: skip
        pems[f"{name}.key"], pems[f"{name}.crt"] = key.read_bytes(), certificate.read_bytes()
    return pems


async def test_tls_knows_the_runner_and_shows_the_caller(pems: dict[str, bytes]) -> None:
    door = Door()
    kind = grpc.ssl_server_credentials(
        [(pems["runner.key"], pems["runner.crt"])], pems["caller.crt"], require_client_auth=True
    )
    own = credentials.tls(
        pems["runner.crt"], key=pems["caller.key"], certificate=pems["caller.crt"]
    )
    async with behind(door, "127.0.0.1:0", kind) as address:
        async with Supervisor(address, own) as runner:
            assert (await runner.info()).runner_id == "behind the door"
        async with Supervisor(address, credentials.with_token("t0ken", own)) as runner:
            await runner.info()
        stranger = credentials.tls(pems["caller.crt"])  # trusts another than the runner
        async with Supervisor(address, stranger, connect_timeout=0) as runner:
            with pytest.raises(Unavailable):
                await runner.info()
    assert door.shown == [(None, b"caller"), ("Bearer t0ken", b"caller")]


async def test_a_token_goes_over_a_unix_socket(tmp_path: Path) -> None:
    door = Door()
    kind = grpc.local_server_credentials(grpc.LocalConnectionType.UDS)
    async with behind(door, f"unix:{tmp_path}/s.sock", kind) as address:
        token = credentials.with_token("t0ken", credentials.unix())
        async with Supervisor(address, token) as runner:
            await runner.info()
    assert door.shown == [("Bearer t0ken", b"")]


async def test_a_token_for_unix_sockets_is_not_sent_over_tcp(pems: dict[str, bytes]) -> None:
    door = Door()
    kind = grpc.ssl_server_credentials([(pems["runner.key"], pems["runner.crt"])])
    async with behind(door, "127.0.0.1:0", kind) as address:
        token = credentials.with_token("t0ken", credentials.unix())
        async with Supervisor(address, token, connect_timeout=0) as runner:
            with pytest.raises(SupervisorError):
                await runner.info()
    assert door.shown == []


@pytest.mark.parametrize("text", ["", "two words", "new\nline", "schlüssel"])
def test_what_is_no_token_is_told_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        credentials.with_token(text)
