"""Server side of every grpc.aio service: one interceptor that names, logs and translates errors.

A servicer raises classes of `protos.errdefs`; only here do they become statuses.
"""

import contextvars
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc import aio

from protos import errdefs
from protos.log import REQUEST, container_var, namespace_var, request_var, short

log = logging.getLogger("rpc")

lease_var: contextvars.ContextVar[str] = contextvars.ContextVar("lease", default="")

_STATUS = {status.value[0]: status for status in grpc.StatusCode}
_LEVELS: dict[type[errdefs.EngineError], int] = {
    errdefs.NotFound: logging.DEBUG,
    errdefs.NotModified: logging.DEBUG,
    errdefs.Unavailable: logging.WARNING,
    errdefs.PermissionDenied: logging.WARNING,
}


def require_namespace() -> str:
    """The caller's namespace; containerd's own refusal where there is none."""
    if not namespace_var.get():
        raise errdefs.FailedPrecondition("namespace is required")
    return namespace_var.get()


class Boundary(aio.ServerInterceptor):
    """Sets the context variables of a call and turns what it raises into a status."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler[Any, Any] | None"]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "grpc.RpcMethodHandler[Any, Any] | None":
        handler = await continuation(handler_call_details)
        if handler is None or handler_call_details.method.startswith("/grpc."):
            return handler
        headers: dict[str, Any] = dict(handler_call_details.invocation_metadata)
        return _wrap(handler, handler_call_details.method, headers)


def _enter(method: str, headers: dict[str, Any], request: Any) -> None:
    namespace_var.set(str(headers.get("containerd-namespace", "")))
    request_var.set(str(headers.get(REQUEST, "")))
    container_var.set(_subject(method, request))
    lease_var.set(str(headers.get("containerd-lease", "")))


def _subject(method: str, request: Any) -> str:
    """The container that a call is about, as far as its request names one."""
    if method.startswith("/containerd.services.containers."):
        return short(str(getattr(getattr(request, "container", request), "id", "")))
    return short(str(getattr(request, "container_id", "")))


async def _fail(context: Any, method: str, error: Exception) -> None:
    if isinstance(error, errdefs.EngineError):
        log.log(_LEVELS.get(type(error), logging.INFO), "call failed method=%s error=%s", method, error)
        code, details = errdefs.to_grpc(error)
        await context.abort(_STATUS[code], details)
    if isinstance(error, aio.AbortError):
        raise error
    log.exception("call crashed method=%s", method)
    await context.abort(grpc.StatusCode.UNKNOWN, f"{type(error).__name__}: {error}")


def _wrap(handler: Any, method: str, headers: dict[str, Any]) -> "grpc.RpcMethodHandler[Any, Any]":
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream

        async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
            _enter(method, headers, request)
            try:
                async for reply in inner(request, context):
                    yield reply
            except Exception as error:
                await _fail(context, method, error)

        build = grpc.unary_stream_rpc_method_handler
        if handler.request_streaming:
            build = grpc.stream_stream_rpc_method_handler
        return build(stream, handler.request_deserializer, handler.response_serializer)
    inner = handler.stream_unary if handler.request_streaming else handler.unary_unary

    async def unary(request: Any, context: Any) -> Any:
        _enter(method, headers, request)
        begin = time.perf_counter()
        try:
            reply = await inner(request, context)
            log.debug("served method=%s ms=%.2f", method, (time.perf_counter() - begin) * 1e3)
            return reply
        except Exception as error:
            await _fail(context, method, error)

    build = grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
    return build(unary, handler.request_deserializer, handler.response_serializer)
