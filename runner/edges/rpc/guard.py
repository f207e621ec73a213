"""What every call passes through: a place, the caller's role, decoding, errors.

It wraps the handlers of all services of a listener, so that nothing which a servicer raises
reaches a client as it is: a Refused becomes its status with details, anything unexpected
INTERNAL with a reference that the log has (grpc.aio would send the exception's text).
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc import aio

from runner.domain.principal import Principal
from runner.domain.refusal import Code, Refused
from runner.edges.rpc.admission import Admission
from runner.edges.rpc.auth import SERVICE, allow
from runner.edges.rpc.convert_request import from_assign
from runner.edges.rpc.errors import DETAILS_KEY, status_code, to_status
from runner.engine.api import Assignment
from runner.engine.standing import refusal
from runner.ports import Observer
from supervisor.v1 import supervisor_pb2 as v1

Context = aio.ServicerContext[Any, Any]  # of whatever service is called
Decode = Callable[[bytes], Any]

_ASSIGN = f"/{SERVICE}/AssignTask"


Told = Callable[[str, str, float], None]
"""Of each call that has ended: its method, its status code's name, its seconds."""


def untold(_method: str, _code: str, _seconds: float) -> None:
    """Who tells nobody."""


class Guard(aio.ServerInterceptor):
    """The interceptor of one listener, whose callers are all `who`."""

    def __init__(
        self, who: Principal, admission: Admission, observer: Observer, told: Told = untold
    ) -> None:
        self._who = who
        self._told = told
        self._admission = admission
        self._observer = observer

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The method's handler, guarded. An unknown method has none: UNIMPLEMENTED."""
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        if not handler.response_streaming:
            return grpc.unary_unary_rpc_method_handler(
                self._timed(
                    method, self._unary(method, handler.unary_unary, handler.request_deserializer)
                ),
                response_serializer=handler.response_serializer,
            )
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._timed(
                    method,
                    self._stream(method, handler.stream_stream, handler.request_deserializer),
                ),
                response_serializer=handler.response_serializer,
            )
        return grpc.unary_stream_rpc_method_handler(
            self._timed(
                method, self._stream(method, handler.unary_stream, handler.request_deserializer)
            ),
            response_serializer=handler.response_serializer,
        )

    def _unary(self, method: str, behaviour: Callable[..., Any], decode: Decode) -> Any:
        async def guarded(body: bytes, context: Context) -> Any:
            asked = False
            try:
                with self._admission.place(method):
                    allow(self._who, method)
                    request = _decoded(decode, body)
                    asked = True
                    return await behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - all that is raised ends here, see above
                if method == _ASSIGN and not asked and isinstance(error, Refused):
                    # The engine, which tells of its own refusals, has not heard of this one.
                    self._observer.refused(refusal(_as_far_as_read(body), error))
                await self._fail(method, context, error)

        return guarded

    def _stream(self, method: str, behaviour: Callable[..., Any], decode: Decode) -> Any:
        """A stream is written by an async generator, or by a coroutine that calls `write`."""
        generates = inspect.isasyncgenfunction(behaviour)

        async def guarded(body: bytes | AsyncIterator[bytes], context: Context) -> None:
            try:
                with self._admission.place(method):
                    allow(self._who, method)
                    request = (
                        _decoded(decode, body)
                        if isinstance(body, bytes)
                        else _all_decoded(decode, body)
                    )
                    # The caller learns at once that it was taken, however long the first
                    # message lets it wait.
                    await context.send_initial_metadata(())
                    if not generates:
                        await behaviour(request, context)
                        return
                    async with aclosing(behaviour(request, context)) as messages:
                        async for message in messages:
                            await context.write(message)  # returns as the reader takes it
            except Exception as error:  # noqa: BLE001 - all that is raised ends here, see above
                await self._fail(method, context, error)

        return guarded

    def _timed(self, method: str, guarded: Callable[..., Any]) -> Any:
        name = method.rpartition("/")[2] if method.startswith(f"/{SERVICE}/") else method[1:]

        async def timed(body: bytes | AsyncIterator[bytes], context: Context) -> Any:
            began = time.monotonic()
            code = grpc.StatusCode.CANCELLED.name
            try:
                answer = await guarded(body, context)
                code = grpc.StatusCode.OK.name
            except aio.AbortError:
                code = _name_of(context.code())
                raise
            finally:
                self._told(name, code, time.monotonic() - began)
            return answer

        return timed

    async def _fail(self, method: str, context: Context, error: Exception) -> NoReturn:
        if isinstance(error, aio.AbortError):  # a servicer's own answer (health)
            raise error
        if not isinstance(error, Refused):
            if context.cancelled():  # nobody is there to be told; grpc ends the call itself
                raise asyncio.CancelledError
            await self._internal(method, context, error)
        await context.abort(
            status_code(error),
            to_status(error).message,
            ((DETAILS_KEY, to_status(error).SerializeToString()),),
        )

    async def _internal(self, method: str, context: Context, error: Exception) -> NoReturn:
        reference = secrets.token_hex(6)
        self._observer.note(
            "internal error",
            level="error",
            reference=reference,
            method=method,
            error="".join(traceback.format_exception(error)),
        )
        await context.abort(
            grpc.StatusCode.INTERNAL,
            f"the runner failed at this call; its log says more under reference {reference}",
        )


def _as_far_as_read(body: bytes) -> Assignment:
    """An assignment that is refused without being asked for: its payload is not looked at."""
    try:
        return from_assign(v1.AssignTaskRequest.FromString(body), "")
    except DecodeError:
        return Assignment("", "", b"")


_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


def _name_of(code: Any) -> str:
    """A status code's name; grpc.aio keeps it as a number."""
    return _CODES.get(getattr(code, "value", (code,))[0], "UNKNOWN")


def _decoded(decode: Decode, body: bytes) -> Any:
    try:
        return decode(body)
    except (DecodeError, ValueError):
        # The cause would quote the body.
        raise Refused(
            Code.INVALID_ARGUMENT, "BAD_MESSAGE", "the request is no message of its type"
        ) from None


async def _all_decoded(decode: Decode, bodies: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for body in bodies:
        yield _decoded(decode, body)
