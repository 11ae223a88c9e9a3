"""`docker search`: the index API of version 1, which Docker Hub and few others have."""

from typing import Any, Final
from urllib.parse import quote

from protos.errdefs import InvalidArgument
from services.dockerd.images import manifest
from services.dockerd.images.reference import parse
from services.dockerd.registry import errors, hosts
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.session import Session
from services.dockerd.registry.settings import Settings

LIMIT: Final = 100
DEFAULT: Final = 25


async def search(
    term: str, limit: int, filters: dict[str, list[str]], credentials: Credentials, settings: Settings
) -> list[dict[str, Any]]:
    """Rows that match, as the index orders them; `host/term` asks that host."""
    if not 1 <= (limit or DEFAULT) <= LIMIT:
        raise InvalidArgument(f"limit {limit} is outside the range of [1, {LIMIT}]")
    endpoint, words = await _where(term, settings)
    where = f"/v1/search?q={quote(words)}&n={limit or DEFAULT}"
    async with (
        Session(endpoint, credentials, settings) as session,
        session.ask("GET", where, accept=range(1000)) as reply,
    ):
        if reply.status != 200:
            raise errors.Refused(f"Unexpected status code {reply.status}", reply.status)
        document = manifest.load_json(await session.body(reply, manifest.LIMIT), "search result")
    rows = document.get("results") or []
    if not isinstance(rows, list):
        raise InvalidArgument("search result: results is not a list")
    return [row for row in rows if isinstance(row, dict) and _passes(row, filters)]


async def _where(term: str, settings: Settings) -> tuple[Endpoint, str]:
    """The index to ask, and for what."""
    if "://" in term:
        raise InvalidArgument(f'invalid repository name: repository name ({term}) should not have a scheme')
    domain, slash, rest = term.partition("/")
    if slash and (any(sign in domain for sign in ".:") or domain == "localhost"):
        parse(f"{domain}/x")
        insecure = await hosts.insecure(domain, settings.insecure)
        return Endpoint("http" if insecure else "https", domain), rest
    return Endpoint("https", "index.docker.io"), term.removeprefix("library/")


def _passes(row: dict[str, Any], filters: dict[str, list[str]]) -> bool:
    for key, field in (("is-official", "is_official"), ("is-automated", "is_automated")):
        if any(bool(row.get(field)) != (value == "true") for value in filters.get(key, [])):
            return False
    stars = row.get("star_count")
    return all((stars if isinstance(stars, int) else 0) >= int(value) for value in filters.get("stars", []))
