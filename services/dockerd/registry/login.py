"""`docker login`: whether a registry takes a name and password, and the refresh token it may give for them."""

from dataclasses import replace
from urllib.parse import urlsplit

from protos import errdefs
from services.dockerd.images.reference import DEFAULT_DOMAIN
from services.dockerd.registry import addresses, errors
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.session import Session
from services.dockerd.registry.settings import Settings


async def login(credentials: Credentials, settings: Settings) -> dict[str, str]:
    """Docker's answer; Unauthenticated where the registry says no."""
    domain = domain_of(credentials.server)
    left = await addresses.of(domain, settings, push=True)
    while True:
        endpoint = left.pop(0)
        try:
            async with Session(endpoint, replace(credentials, token=""), settings) as session:
                session.answers.offline = True
                async with session.ask("GET", endpoint.base, accept=range(600)) as reply:
                    if reply.status != 200:
                        raise _failed(endpoint.base, reply.status, reply.reason or "")
                    return {"Status": "Login Succeeded", "IdentityToken": session.answers.refresh}
        except errors.Refused as error:  # by the token server
            if error.status in (401, 403):
                raise errdefs.Unauthenticated(f'Get "{endpoint.base}": {error}') from error
            raise errdefs.Unknown(f'Get "{endpoint.base}": {error}') from error
        except errors.Unreachable:
            if not left:
                raise


def _failed(base: str, status: int, reason: str) -> errdefs.EngineError:
    kind = errdefs.Unauthenticated if status in (401, 403) else errdefs.Unknown
    return kind(f"login attempt to {base} failed with status: {status} {reason}".rstrip())


def domain_of(server: str) -> str:
    """The registry that an address in a login means: a URL, a host, or nothing for Docker Hub."""
    host = urlsplit(server).netloc if "://" in server else server.partition("/")[0]
    return host if host and not host.endswith("docker.io") else DEFAULT_DOMAIN
