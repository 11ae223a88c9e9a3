"""The addresses to try for a registry: by its hosts.toml, or by the daemon's mirrors and insecure registries."""

from services.dockerd.registry import hosts, hoststoml
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.settings import Settings


async def of(domain: str, settings: Settings, *, push: bool = False) -> list[Endpoint]:
    """In the order to try; never empty."""
    mapped = hoststoml.endpoints(settings.directory, domain, push=push)
    if mapped is not None:
        return mapped
    insecure = await hosts.insecure(domain, settings.insecure)
    return hosts.endpoints(domain, settings.mirrors, insecure, push=push)
