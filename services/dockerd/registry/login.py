"""`docker login`: whether a registry takes a name and password, and the refresh token it may give for them."""

from dataclasses import replace
from urllib.parse import urlsplit

from protos import errdefs
from services.dockerd.images.reference import DEFAULT_DOMAIN
from services.dockerd.registry import addresses, errors
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.session import Session
from services.dockerd.registry.settings import Settings


async def login(credentials: Credentials, settings: Settings) -> dict[str, str]:
    """Docker's answer; Unauthenticated where the registry says no."""
    return await addresses.first(
        domain_of(credentials.server), settings, lambda endpoint: _ask(endpoint, credentials, settings), push=True
    )


async def _ask(endpoint: Endpoint, credentials: Credentials, settings: Settings) -> dict[str, str]:
    try:
        async with Session(endpoint, replace(credentials, token=""), settings) as session:
            session.answers.offline = True
            async with session.ask("GET", endpoint.base, accept=range(600)) as reply:
                if reply.status != 200:
                    raise _failed(endpoint.base, reply.status, reply.reason or "")
                return {"Status": "Login Succeeded", "IdentityToken": session.answers.refresh}
    except errors.Refused as error:  # by the token server
        kind = errdefs.Unauthenticated if error.status in (401, 403) else errdefs.Unknown
        raise kind(f'Get "{endpoint.base}": {error}') from error


def _failed(base: str, status: int, reason: str) -> errdefs.EngineError:
    kind = errdefs.Unauthenticated if status in (401, 403) else errdefs.Unknown
    return kind(f"login attempt to {base} failed with status: {status} {reason}".rstrip())


def domain_of(server: str) -> str:
    """The registry that an address in a login means: a URL, a host, or nothing for Docker Hub."""
    host = urlsplit(server).netloc if "://" in server else server.partition("/")[0]
    return host if host and not host.endswith("docker.io") else DEFAULT_DOMAIN
