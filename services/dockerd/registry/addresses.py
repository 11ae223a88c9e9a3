"""The addresses to try for a registry: by its hosts.toml, or by the daemon's mirrors and insecure registries."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlsplit

from protos.errdefs import EngineError
from services.dockerd.images.reference import DEFAULT_DOMAIN
from services.dockerd.registry import errors, hosts, mirrors
from services.dockerd.registry.hosts import HUB, Endpoint
from services.dockerd.registry.mirrors import Host, Registry
from services.dockerd.registry.settings import Settings

log = logging.getLogger("registry")

T = TypeVar("T")


async def first(
    domain: str, settings: Settings, ask: Callable[[Endpoint], Awaitable[T]], *, push: bool = False
) -> T:
    """What the first address that serves says; the error of the last that was tried.

    The next is tried where nobody answers, and behind a mirror that has not got what is pulled.
    """
    left = await of(domain, settings, push=push)
    while True:
        endpoint = left.pop(0)
        try:
            return await ask(endpoint)
        except EngineError as error:
            if not left or not (isinstance(error, errors.Unreachable) or (endpoint.mirror and not push)):
                raise
            log.info("trying the next address registry=%s failed=%s error=%s", domain, endpoint.base, error)


async def of(domain: str, settings: Settings, *, push: bool = False) -> list[Endpoint]:
    """In the order to try; never empty."""
    if (mapped := mirrors.find(settings.directory, domain)) is not None:
        return of_map(mapped, domain, push=push)
    insecure = await hosts.insecure(domain, settings.insecure)
    return hosts.endpoints(domain, settings.mirrors, insecure, push=push)


def of_map(mapped: Registry, domain: str, *, push: bool = False) -> list[Endpoint]:
    """The hosts that can do what is asked, then the registry itself."""
    wanted = {"push"} if push else {"pull", "resolve"}
    server = mapped.server or f"https://{HUB if domain == DEFAULT_DOMAIN else domain}"
    able = [_endpoint(host, mirror=True) for host in mapped.hosts if wanted <= set(host.capabilities)]
    return [*able, _endpoint(Host(server), mirror=False)]


def _endpoint(host: Host, *, mirror: bool) -> Endpoint:
    parts = urlsplit(host.url)
    path = parts.path.rstrip("/")
    return Endpoint(
        parts.scheme, parts.netloc, verify=not host.skip_verify, mirror=mirror,
        path=path if host.override_path else path.removesuffix("/v2"), api="/" if host.override_path else "/v2/",
        authorities=tuple(map(str, host.ca)),
        pairs=tuple((str(certificate), str(key) if key.name else str(certificate)) for certificate, key in host.client),
        headers=tuple((name, value) for name, values in host.headers.items() for value in values),
    )
