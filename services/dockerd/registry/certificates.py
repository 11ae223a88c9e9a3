"""TLS to registries: `<directory>/<host:port>/` holds `*.crt` of authorities, `*.cert` and `*.key` of this client.

The layout is Docker's own, of /etc/docker/certs.d.
"""

import functools
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from protos.errdefs import FailedPrecondition

DIRECTORY: Final = Path("/etc/docker/certs.d")


def context(
    host: str,
    *,
    verify: bool,
    directory: Path = DIRECTORY,
    authorities: Iterable[str] = (),
    pairs: Iterable[tuple[str, str]] = (),
) -> ssl.SSLContext:
    """A context for one registry; FailedPrecondition where its files do not fit together.

    `authorities` and `pairs` of certificate and key go beside what the directory holds.
    """
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    for ca in authorities:
        _load(ca, made.load_verify_locations)
    for certificate, key in pairs:
        _load(certificate, functools.partial(made.load_cert_chain, keyfile=key))
    own = directory / host
    try:
        names = sorted(path.name for path in own.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return made
    except OSError as error:
        raise FailedPrecondition(f"{own}: {error.strerror}") from error
    for name in names:
        _add(made, own, name, names)
    return made


def _load(path: str, load: Callable[[str], object]) -> None:
    try:
        load(path)
    except (OSError, ssl.SSLError) as error:
        raise FailedPrecondition(f"{path}: {error}") from error


def _add(made: ssl.SSLContext, own: Path, name: str, names: list[str]) -> None:
    try:
        if name.endswith(".crt"):
            made.load_verify_locations(own / name)
        elif name.endswith(".cert"):
            key = name.removesuffix(".cert") + ".key"
            if key not in names:
                raise FailedPrecondition(
                    f"missing key {key} for client certificate {name}. CA certificates must use the extension .crt"
                )
            made.load_cert_chain(own / name, own / key)
        elif name.endswith(".key") and name.removesuffix(".key") + ".cert" not in names:
            raise FailedPrecondition(f"missing client certificate {name.removesuffix('.key')}.cert for key {name}")
    except (OSError, ssl.SSLError) as error:
        raise FailedPrecondition(f"{own / name}: {error}") from error
