"""Credentials for `Supervisor(address, credentials)`: TLS, and a bearer token over it.

A token is never sent in the clear: gRPC refuses it on a connection that is neither encrypted
nor a unix socket of this host. Not here: where keys and tokens are kept.
"""

from __future__ import annotations

import grpc


def tls(
    authority: bytes | None = None,
    *,
    key: bytes | None = None,
    certificate: bytes | None = None,
) -> grpc.ChannelCredentials:
    """TLS that trusts `authority` (PEM; the system's where None). `key` and `certificate`
    (PEM) are the caller's own, where the runner knows its callers by them."""
    return grpc.ssl_channel_credentials(authority, key, certificate)


def unix() -> grpc.ChannelCredentials:
    """For a unix socket, where a token is to be sent over it: the kernel keeps it private."""
    return grpc.local_channel_credentials(grpc.LocalConnectionType.UDS)


def with_token(token: str, over: grpc.ChannelCredentials | None = None) -> grpc.ChannelCredentials:
    """Each call bears `authorization: Bearer TOKEN`, over the connection given (TLS that
    trusts the system's authorities where None). Raises ValueError for an unusable token."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a token is printable ASCII without spaces, and not empty")
    return grpc.composite_channel_credentials(
        tls() if over is None else over, grpc.access_token_call_credentials(token)
    )
