"""The services that every gRPC client may expect: health and reflection, as this server has them.

Both come from grpcio's own packages; here is what those lack.
"""

from __future__ import annotations

from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

_REFLECTION = "grpc.reflection.v1.ServerReflection"


class Health(health.aio.HealthServicer):  # type: ignore[misc]  # the package has no types
    """The package's servicer, with the newer call that lists all services."""

    async def List(  # noqa: N802 - the call's name
        self, _request: health_pb2.HealthListRequest, _context: object
    ) -> Any:
        """Every service with its status."""
        statuses = {
            name: health_pb2.HealthCheckResponse(status=status)
            for name, status in self._server_status.items()
        }
        return health_pb2.HealthListResponse(statuses=statuses)


def add_reflection(services: tuple[str, ...], server: grpc.aio.Server) -> None:
    """Let clients ask what there is, by the older name of the service and by today's: the
    messages of both are the same."""
    named = (*services, reflection.SERVICE_NAME, _REFLECTION)
    reflection.enable_server_reflection(named, server)
    servicer = reflection.aio.ReflectionServicer(service_names=named)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_REFLECTION, methods),))
