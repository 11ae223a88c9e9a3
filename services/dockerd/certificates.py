"""TLS of the API: the context made of the files that --tlscacert, --tlscert and --tlskey name."""

import os
import ssl
from pathlib import Path

from protos.errdefs import InvalidArgument
from services.dockerd.config import Config


def directory() -> Path:
    """Where ca.pem, cert.pem and key.pem are looked for."""
    named = os.environ.get("DOCKER_CERT_PATH") or os.environ.get("DOCKER_CONFIG")
    return Path(named) if named else Path("~/.docker").expanduser()


def context(config: Config) -> ssl.SSLContext | None:
    """The listeners' context; None without TLS. InvalidArgument in Docker's words."""
    if not config.secure:
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.num_tickets = 1  # nobody uses it, but it carries an acknowledgement that slow clients wait 40 ms for
    made.set_alpn_protocols(["http/1.1"])
    default = directory()
    _load_pair(made, config.tlscert or str(default / "cert.pem"), config.tlskey or str(default / "key.pem"))
    if config.verifies:
        _load_authority(made, config.tlscacert or str(default / "ca.pem"))
        made.verify_mode = ssl.CERT_REQUIRED
    return made


def _load_pair(made: ssl.SSLContext, cert: str, key: str) -> None:
    pair = f'(cert: "{cert}", key: "{key}")'
    for path in (cert, key):
        if problem := _unreadable(path):
            raise InvalidArgument(f"invalid TLS configuration: could not load X509 key pair {pair}: {problem}")
    try:
        made.load_cert_chain(cert, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        reason = "error reading X509 key pair - make sure the key is not encrypted"
        raise InvalidArgument(f"invalid TLS configuration: {reason} {pair}: {error}") from error


def _no_password() -> str:
    raise ValueError("the key is encrypted")  # instead of asking on the terminal


def _load_authority(made: ssl.SSLContext, path: str) -> None:
    if problem := _unreadable(path):
        raise InvalidArgument(f'invalid TLS configuration: could not read CA certificate "{path}": {problem}')
    try:
        made.load_verify_locations(path)
    except ssl.SSLError as error:
        problem = f'failed to append certificates from PEM file: "{path}"'
        raise InvalidArgument(f"invalid TLS configuration: {problem}") from error


def _unreadable(path: str) -> str:
    try:
        with Path(path).open("rb"):
            return ""
    except OSError as error:
        return f"open {path}: {(error.strerror or str(error)).lower()}"
