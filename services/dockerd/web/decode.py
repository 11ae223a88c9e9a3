"""JSON bodies of requests, decoded into models of schema/, with the texts Docker's own decoder has."""

from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from protos.errdefs import InvalidArgument

LIMIT: Final = 16 << 20
"""Bytes of a JSON body; no honest one comes near."""

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as `model`; the model's defaults where there is no body. InvalidArgument with Docker's texts."""
    body = await _read(request)
    _check_type(request.headers.get("content-type", ""), body)
    if not body:
        return model()
    try:
        return model() if body.strip() == b"null" else model.model_validate_json(body)
    except ValidationError as error:
        raise InvalidArgument(describe(body, error.errors(include_url=False)[0])) from error


async def _read(request: Request) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > LIMIT:
            raise InvalidArgument(f"request body is larger than {LIMIT} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


def _check_type(content_type: str, body: bytes) -> None:
    if not content_type and not body:
        return
    media_type = content_type.partition(";")[0].strip().lower()
    if "/" not in media_type:
        reason = "mime: no media type" if not media_type else "mime: expected slash after first token"
        raise InvalidArgument(f"malformed Content-Type header ({content_type}): {reason}")
    if media_type != "application/json":
        raise InvalidArgument(f"unsupported Content-Type header ({content_type}): must be 'application/json'")


def describe(body: bytes, problem: ErrorDetails) -> str:
    """One sentence for the first thing that is wrong in a body."""
    if problem["type"] != "json_invalid":
        where = ".".join(str(part) for part in problem["loc"])
        return f"invalid JSON: {where}: {problem['msg']}"
    detail = str(problem.get("ctx", {}).get("error", problem["msg"]))
    if not body.strip():
        return "invalid JSON: got EOF while reading request body"
    if detail.startswith("EOF"):
        return "invalid JSON: unexpected EOF"
    if detail.startswith("trailing characters"):
        return "unexpected content after JSON"
    return f"invalid JSON: {detail}"
