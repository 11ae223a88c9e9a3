"""What registries and the way to them answer, as errors in Docker's words."""

import json
import os
import ssl
from collections.abc import Sequence
from typing import Any, Final

import aiohttp

from protos import errdefs
from services.dockerd.images.reference import Reference
from services.dockerd.registry.challenge import Challenge

_PREFIX: Final = {"server gave HTTP": ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH")}


NO_BASIC: Final = "NO_BASIC"
_NO_BASIC: Final = "no basic auth credentials"


class Unreachable(errdefs.Unknown):
    """No answer: the next address may have one."""


class Refused(errdefs.Unknown):
    """An answer that is none: `reason` is the registry's first error code, empty where it gave none."""

    def __init__(self, text: str, status: int, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.reason = code

    @property
    def passing(self) -> bool:
        """Whether the same question may be answered later."""
        return self.status in (408, 429, 500, 502, 503, 504)


_OF_TOKENS: Final = {
    "insufficient_scope": ("DENIED", "requested access to the resource is denied"),
    "invalid_token": ("UNAUTHORIZED", "authentication required"),
}
"""What is wrong with the token a request came with (RFC 6750, 3.1): this counts before the body's errors."""


def refused(status: int, reason: str, body: bytes, challenges: Sequence[Challenge] = ()) -> Refused:
    """The error of a reply that is not a success: `manifest unknown: …`, or what came instead."""
    if not 400 <= status < 500:
        return Refused(f"received unexpected HTTP status: {status} {reason}".rstrip(), status)
    of_token = [_OF_TOKENS[each.parameters["error"]] for each in challenges if status == 401
                and each.scheme == "bearer" and each.parameters.get("error") in _OF_TOKENS]
    for code, message in (*of_token, *_errors(body)):
        return Refused(f"{code.lower().replace('_', ' ')}: {message or code.lower().replace('_', ' ')}", status, code)
    if status == 401:
        return Refused("unauthorized: authentication required", status, "UNAUTHORIZED")
    if status == 429:
        return Refused("toomanyrequests: too many requests", status, "TOOMANYREQUESTS")
    return Refused(f"error parsing HTTP {status} response body: {_unreadable(body)}", status)


def _unreadable(body: bytes) -> str:
    """Why a body is no list of errors, and its beginning: most often some web server's page."""
    text = body[:1000].decode(errors="replace")
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        start = text.lstrip()[:1]
        why = f"invalid character {start!r} looking for beginning of value" if start else "unexpected end of JSON input"
    else:
        why = "no error details found in HTTP response body"
    return f"{why}: {json.dumps(text, ensure_ascii=False)}"


def _errors(body: bytes) -> list[tuple[str, str]]:
    try:
        found: Any = json.loads(body)
    except (ValueError, RecursionError):
        return []
    errors = found.get("errors") if isinstance(found, dict) else None
    if not isinstance(errors, list):
        return []
    return [(str(each["code"])[:100], str(each.get("message") or "")[:1000])
            for each in errors if isinstance(each, dict) and each.get("code")]


def without_credentials(method: str, url: str) -> Refused:
    """Somebody wants a password where we have none."""
    return Refused(f'{method.capitalize()} "{url}": {_NO_BASIC}', 401, NO_BASIC)


def unreachable(method: str, url: str, error: BaseException) -> Unreachable:
    return Unreachable(f'{method.capitalize()} "{url}": {_words(error)}')


def _words(error: BaseException) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return "tls: failed to verify certificate: " + _certificate(error.certificate_error)
        case aiohttp.ClientConnectorDNSError():
            return f"dial tcp: lookup {error.host}: no such host"
        case aiohttp.ClientConnectorSSLError():
            return _tls(str(error.os_error))
        case aiohttp.ClientProxyConnectionError():
            return f"proxyconnect tcp: dial tcp {error.host}:{error.port}: connect: {_reason(error.os_error)}"
        case aiohttp.ClientConnectorError():
            return f"dial tcp {_joined(error.host, error.port)}: connect: {_reason(error.os_error)}"
        case aiohttp.ClientHttpProxyError():
            return f"proxyconnect: {error.status} {error.message}"
        case aiohttp.ServerDisconnectedError():
            return "EOF"
        case aiohttp.ClientPayloadError():
            return "unexpected EOF"
        case TimeoutError():
            return "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    return str(error) or type(error).__name__


def _joined(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: OSError | None) -> str:
    """The kernel's word: asyncio puts one of its own in front."""
    number = error.errno if error else None
    return os.strerror(number).lower() if number else str(error).lower() or "EOF"


def _tls(text: str) -> str:
    if any(each in text.upper().replace(" ", "_") for each in _PREFIX["server gave HTTP"]):
        return "http: server gave HTTP response to HTTPS client"
    return f"remote error: tls: {text}"


def _certificate(error: Exception) -> str:
    code = error.verify_code if isinstance(error, ssl.SSLCertVerificationError) else 0
    if code in (18, 19, 20, 21):
        return "x509: certificate signed by unknown authority"
    if code == 10:
        return "x509: certificate has expired or is not yet valid"
    return "x509: " + (error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error))


def of_pull(error: errdefs.EngineError, name: Reference) -> errdefs.EngineError:
    """What a client that asked to pull `name` is told."""
    if not isinstance(error, Refused):
        return error
    if error.reason == "DENIED":
        return errdefs.NotFound(
            f"pull access denied for {name.familiar_name}, "
            f"repository does not exist or may require 'docker login': {error}"
        )
    if error.reason in ("UNAUTHORIZED", "AUTHENTICATION_REQUIRED"):
        if name.domain == "docker.io":
            return of_pull(Refused("denied: requested access to the resource is denied", 403, "DENIED"), name)
        return errdefs.Unknown(str(error))
    if error.reason == "MANIFEST_UNKNOWN":
        return errdefs.NotFound(f"manifest for {name.familiar} not found: {error}")
    if error.reason == "NAME_UNKNOWN":
        return errdefs.NotFound(f"repository {name.familiar_name} not found: {error}")
    if error.status == 404:
        return errdefs.NotFound(str(error))
    if error.reason == "TOOMANYREQUESTS":
        return errdefs.ResourceExhausted(str(error))
    return error


def of_push(error: errdefs.EngineError, name: Reference) -> errdefs.EngineError:
    """What a client that asked to push `name` is told, as the last record of the stream."""
    if isinstance(error, Refused) and error.reason == NO_BASIC:
        return errdefs.Unauthenticated(_NO_BASIC)
    if isinstance(error, Refused) and error.reason in ("UNAUTHORIZED", "DENIED"):
        return errdefs.PermissionDenied(str(error))
    return error
