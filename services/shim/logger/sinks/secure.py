"""TLS towards a sink; in a module of its own, for it is dear to import."""

import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress

from services.shim.logger.options import truth

Wrap = Callable[[socket.socket], socket.socket]


def syslog(host: str, options: Mapping[str, str]) -> Wrap:
    """As `syslog-tls-*` say; OSError for files that cannot be read."""
    context = ssl.create_default_context(cafile=options.get("syslog-tls-ca-cert") or None)
    if truth("syslog-tls-skip-verify", options.get("syslog-tls-skip-verify") or "false"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate := options.get("syslog-tls-cert"):
        context.load_cert_chain(certificate, options.get("syslog-tls-key"))
    return lambda plain: _wrapped(context, plain, host)


def trusted(host: str) -> Wrap:
    """By the system's authorities."""
    context = ssl.create_default_context()
    return lambda plain: _wrapped(context, plain, host)


def by(name: str, authorities: str, *, blind: bool) -> Wrap:
    """For `name`, by the authorities in this file, "" for the system's; `blind`: by none."""
    context = ssl.create_default_context(cafile=authorities or None)
    if blind:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return lambda plain: _wrapped(context, plain, name)


def _wrapped(context: ssl.SSLContext, plain: socket.socket, host: str) -> socket.socket:
    try:
        return context.wrap_socket(plain, server_hostname=host)
    except OSError as error:
        with suppress(OSError):
            plain.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise OSError(f"tls: failed to verify certificate: x509: {error.verify_message}") from error
        raise OSError(f"tls: {getattr(error, 'reason', None) or error}") from error
