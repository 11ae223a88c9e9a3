"""Verbs that ask registries: pull, push, login, look at a manifest, search. Imported at their first use."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from protos import proxies
from protos.errdefs import InvalidArgument
from services.dockerd.config import Config
from services.dockerd.engine.engine import Engine
from services.dockerd.images import platform, pull, push
from services.dockerd.images.reference import Reference
from services.dockerd.images.transfers import Transfers
from services.dockerd.registry import distribution, login, search
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.session import Session
from services.dockerd.registry.settings import Settings


def settings(config: Config) -> Settings:
    return Settings(
        mirrors=config.registry_mirrors,
        insecure=config.insecure_registries,
        downloads=config.max_concurrent_downloads,
        uploads=config.max_concurrent_uploads,
        attempts=config.max_download_attempts,
        proxies=proxies.told(),
        directory=config.registry_config,
    )


def _transfers(engine: Engine) -> Transfers:
    if engine.transfers is None:
        engine.transfers = Transfers(engine.images, lambda: settings(engine.config))
    return engine.transfers


def pull_image(
    engine: Engine, name: Reference, wanted: str, credentials: Credentials, *, all_tags: bool
) -> AsyncIterator[bytes]:
    """Records of a pull; `wanted` is a platform, empty for this machine's."""
    return pull.pull(
        engine.images, _transfers(engine).downloads, settings(engine.config), name, credentials=credentials,
        wanted=platform.parse(wanted) if wanted else None, all_tags=all_tags,
    )


def push_image(
    engine: Engine, name: Reference, credentials: Credentials, *, all_tags: bool
) -> AsyncIterator[bytes]:
    if name.digest:
        raise InvalidArgument("cannot push a digest reference")
    return push.push(
        engine.images, settings(engine.config), _transfers(engine).uploads, name, credentials=credentials,
        all_tags=all_tags,
    )


async def fetch(engine: Engine, url: str) -> AsyncIterator[bytes]:
    """The body behind a URL, as `docker import` takes one; InvalidArgument for what is no URL, as Docker's text."""
    text = url if "://" in url else f"http://{url}"
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InvalidArgument(f'unsupported protocol scheme in "{url}": pass http:// or https://')
    async with Session(Endpoint(parts.scheme, parts.netloc), Credentials(), settings(engine.config)) as session:
        async for piece in session.pieces(text):
            yield piece


async def log_in(engine: Engine, credentials: Credentials) -> dict[str, str]:
    return await login.login(credentials, settings(engine.config))


async def describe(engine: Engine, name: Reference, credentials: Credentials) -> dict[str, Any]:
    return await distribution.describe(name, credentials, settings(engine.config))


async def search_index(
    engine: Engine, term: str, limit: int, filters: dict[str, list[str]], credentials: Credentials
) -> list[dict[str, Any]]:
    return await search.search(term, limit, filters, credentials, settings(engine.config))
