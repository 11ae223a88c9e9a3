"""`docker manifest inspect` and its kin: what a registry has under a name, without pulling it."""

from typing import Any

from protos import errdefs
from services.dockerd.images import manifest, platform
from services.dockerd.images.reference import Reference
from services.dockerd.registry import addresses, errors, repository
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.repository import Fetched, Repository
from services.dockerd.registry.settings import Settings


async def describe(name: Reference, credentials: Credentials, settings: Settings) -> dict[str, Any]:
    """Docker's DistributionInspect: the descriptor and the platforms behind it."""

    async def ask(endpoint: Endpoint) -> dict[str, Any]:
        async with repository.opened(endpoint, name.path, credentials, settings) as source:
            found = await source.manifest(name.digest or name.tag)
            return {"Descriptor": found.descriptor.document(), "Platforms": await _platforms(source, found)}

    try:
        return await addresses.first(name.domain, settings, ask)
    except errdefs.EngineError as error:
        raise _refused(error, name) from error


def _refused(error: errdefs.EngineError, name: Reference) -> errdefs.EngineError:
    if isinstance(error, errors.Refused) and error.status in (401, 403):
        return errdefs.Unauthenticated(str(error))
    if isinstance(error, errors.Refused) and error.status == 404:
        return errdefs.NotFound(str(error))
    return errors.of_pull(error, name)


async def _platforms(source: Repository, found: Fetched) -> list[dict[str, Any]]:
    if manifest.is_index(found.descriptor.media_type, found.data):
        return [_platform(document) for _, document in manifest.parse_index(found.data) if platform.of(document)]
    if found.descriptor.media_type in (manifest.SCHEMA1, manifest.SCHEMA1_SIGNED):
        return []
    config = manifest.parse_manifest(found.data).config
    data = b"".join([piece async for piece in source.blob(config)])
    return [_platform(manifest.load_json(data, "image config"))]


def _platform(document: dict[str, Any]) -> dict[str, Any]:
    keys = ("architecture", "os", "os.version", "os.features", "variant")
    return {key: document[key] for key in keys if document.get(key)}
