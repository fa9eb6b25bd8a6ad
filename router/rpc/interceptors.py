"""What every call passes on its way in and out: identity, deadline, decoding, and errors that tell nothing of us.

The first interceptor in the server's list is the outermost one. `Edge` wraps each handler so that requests reach it as
bytes: a caller is known before anything that it sent is decoded, and what cannot be decoded is answered as any other
fault of the caller's.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_status import rpc_status  # type: ignore[import-untyped, unused-ignore]

from router.domain.errors import InvalidInput, RouterError
from router.rpc.auth import OPEN_SERVICES, Authenticator, set_caller
from router.rpc.errors import DeadlineExceeded, internal, is_known, rich_status
from router.rpc.streams import Drain, Stream

_ABORT_LIMIT_S = 2.0
"""How long the status of a failed call may take to leave: the client may not be reading at all."""

Handler = Any
"""grpc.RpcMethodHandler; its type parameters say nothing here."""
Behaviour = Callable[[Any, Any], Awaitable[Any]]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]

log = logging.getLogger(__name__)


class Edge(grpc.aio.ServerInterceptor):  # type: ignore[misc, unused-ignore]
    """Authenticates, decodes, sets a deadline, and turns every error into a status."""

    def __init__(
        self, authenticator: Authenticator, drain: Drain, call_timeout_s: float, longer: Mapping[str, float]
    ) -> None:
        """``longer``: seconds to add to the default deadline of methods that may wait on purpose."""
        self._authenticator = authenticator
        self._drain = drain
        self._timeout_s = call_timeout_s
        self._longer = longer
        self._wrapped: dict[str, Handler] = {}

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        """The handler of the method, wrapped; None (UNIMPLEMENTED) where there is none."""
        method = handler_call_details.method
        if method not in self._wrapped:
            handler = await continuation(handler_call_details)
            if handler is None:
                return None
            self._wrapped[method] = self._wrap(method, handler)
        return self._wrapped[method]

    def _wrap(self, method: str, handler: Handler) -> Handler:
        serve = self._stream(handler) if handler.response_streaming else self._unary(method, handler)
        is_open = method.startswith(OPEN_SERVICES)

        async def guarded(request: Any, context: Any) -> Any:
            try:
                if not is_open:
                    self._admit(method, context)
                return await serve(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await _refuse(method, error, context)

        return rebuilt(handler, guarded, decode=False)

    def _unary(self, method: str, handler: Handler) -> Behaviour:
        """No call of router.v1 takes a stream and answers once."""
        behaviour, decode = behaviour_of(handler), decoder(handler)
        timeout_s = self._timeout_s + self._longer.get(method, 0.0)

        async def serve(request: Any, context: Any) -> Any:
            message = decode(request)
            if context.time_remaining() is not None:
                return await behaviour(message, context)
            try:
                async with asyncio.timeout(timeout_s) as limit:
                    return await behaviour(message, context)
            except TimeoutError:
                if limit.expired():
                    raise DeadlineExceeded(
                        f"no answer within {timeout_s:g} s; set a deadline of your own"
                    ) from None
                raise

        return serve

    def _stream(self, handler: Handler) -> Behaviour:
        """The behaviour is given the stream as its context, and also as its requests where there are several."""
        behaviour, decode = behaviour_of(handler), decoder(handler)
        if inspect.isasyncgenfunction(behaviour):
            behaviour = _writing(behaviour)

        async def serve(request: Any, context: Any) -> None:
            message = None if handler.request_streaming else decode(request)
            stream: Stream[Any, Any] = Stream(context, decode, self._drain)
            await stream.run(lambda: behaviour(stream if message is None else message, stream))

        return serve

    def _admit(self, method: str, context: Any) -> None:
        authorization = ""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                authorization = value
        certificate = {} if authorization else context.auth_context() or {}
        identity = self._authenticator.identify(authorization, certificate)
        set_caller(identity.acting_in(method))


def behaviour_of(handler: Handler) -> Any:
    """The function that serves, whichever of the four kinds it is."""
    return handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream


def rebuilt(handler: Handler, behaviour: Behaviour, decode: bool = True) -> Handler:
    """The same handler around another function; without ``decode`` it is given bytes."""
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[handler.request_streaming, handler.response_streaming]
    deserializer = handler.request_deserializer if decode else None
    return make(behaviour, deserializer, handler.response_serializer)


def decoder(handler: Handler) -> Callable[[bytes], Any]:
    """What makes a message of bytes; InvalidInput where it cannot."""
    decode = handler.request_deserializer

    def decoded(raw: bytes) -> Any:
        try:
            return decode(raw)
        except (DecodeError, ValueError):
            text = "cannot be decoded; are both sides built from router.v1?"
            raise InvalidInput([("request", text)]) from None

    return decoded


def _writing(behaviour: Callable[[Any, Any], AsyncGenerator[Any, None]]) -> Behaviour:
    """A generator of messages as a function that writes them."""

    async def serve(request: Any, stream: Stream[Any, Any]) -> None:
        async with aclosing(behaviour(request, stream)) as messages:
            async for message in messages:
                await stream.write(message)

    return serve


async def _refuse(method: str, error: Exception, context: Any) -> None:
    """End the call with the error's status. What we did not foresee is logged under an id, and only the id is told."""
    if context.done() or context.cancelled():
        log.debug("call %s ended by its client: %r", method, error)
        return
    if not isinstance(error, RouterError) or not is_known(error):
        error_id = secrets.token_hex(6)
        log.error("error %s in %s", error_id, method, exc_info=error)
        error = internal(error_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(_ABORT_LIMIT_S):
            await context.abort_with_status(_as_grpc(error))


def _as_grpc(error: RouterError) -> Any:
    return rpc_status.to_status(rich_status(error))
