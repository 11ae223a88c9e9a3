"""One repository on one address: manifests, blobs, uploads, tags. Source: OCI distribution-spec 1.1."""

import re
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin

import aiohttp

from protos.errdefs import InvalidArgument
from services.dockerd.images import manifest
from services.dockerd.images.manifest import Descriptor
from services.dockerd.images.reference import is_digest
from services.dockerd.registry import errors
from services.dockerd.registry.credentials import Credentials
from services.dockerd.registry.hosts import Endpoint
from services.dockerd.registry.session import Session
from services.dockerd.registry.settings import Settings

_KNOWN: Final = (manifest.MANIFEST, manifest.MANIFEST_LIST, manifest.OCI_MANIFEST, manifest.OCI_INDEX)
_ACCEPT: Final = {"Accept": ", ".join((*_KNOWN, manifest.SCHEMA1_SIGNED, manifest.SCHEMA1, "*/*;q=0.1"))}
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')
_PAGES: Final = 1000
_TAGS: Final = 500_000
PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A manifest or index as the registry sent it, its digest computed from the bytes."""

    descriptor: Descriptor
    data: bytes


class Repository:
    def __init__(self, session: Session, path: str, *, push: bool = False) -> None:
        self.session = session
        self.path = path
        self.scopes: tuple[str, ...] = (f"repository:{path}:{'pull,push' if push else 'pull'}",)

    async def manifest(self, reference: str) -> Fetched:
        """By tag or digest. InvalidArgument where the bytes are not those of the digest that was asked for."""
        where = f"{self.path}/manifests/{reference}"
        async with self.session.ask("GET", where, scopes=self.scopes, headers=_ACCEPT) as reply:
            data = await self.session.body(reply, manifest.LIMIT)
            kind = reply.headers.get("Content-Type", "").partition(";")[0].strip()
        digest = manifest.digest_of(data)
        if is_digest(reference) and digest != reference:
            raise InvalidArgument(f"manifest verification failed for digest {reference}")
        return Fetched(Descriptor(manifest.kind_of(kind, data), digest, len(data)), data)

    async def head(self, reference: str) -> Descriptor | None:
        """What a tag or digest names, where the registry tells without sending it; None where it does not."""
        where = f"{self.path}/manifests/{reference}"
        async with self.session.ask("HEAD", where, scopes=self.scopes, headers=_ACCEPT) as reply:
            digest = reply.headers.get("Docker-Content-Digest", "")
            kind = reply.headers.get("Content-Type", "").partition(";")[0].strip()
            size = reply.headers.get("Content-Length", "")
        return Descriptor(kind, digest, int(size)) if is_digest(digest) and size.isdecimal() else None

    async def tags(self) -> list[str]:
        """All tags, in the registry's order, page by page."""
        found: list[str] = []
        where = f"{self.path}/tags/list"
        for _ in range(_PAGES):
            async with self.session.ask("GET", where, scopes=self.scopes) as reply:
                document = manifest.load_json(await self.session.body(reply, manifest.LIMIT), "list of tags")
                link = _NEXT.search(reply.headers.get("Link", ""))
                here = str(reply.url)
            names = document.get("tags") or []
            if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
                raise InvalidArgument("list of tags: tags is not a list of names")
            found += names
            if len(found) > _TAGS:
                raise InvalidArgument(f"list of tags has more than {_TAGS} names")
            if link is None:
                return found
            where = urljoin(here, link[1])
        raise InvalidArgument(f"list of tags has more than {_PAGES} pages")

    async def blob(self, wanted: Descriptor, offset: int = 0) -> AsyncIterator[bytes]:
        """A blob's bytes from `offset` on. Unreachable where the connection breaks, InvalidArgument for too many."""
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        where = f"{self.path}/blobs/{wanted.digest}"
        async with self.session.ask("GET", where, scopes=self.scopes, headers=headers, accept=(200, 206)) as reply:
            at = offset if reply.status == 206 else 0
            if reply.status == 206 and not reply.headers.get("Content-Range", "").startswith(f"bytes {offset}-"):
                raise errors.Unreachable(f"{where}: the registry sent another range than bytes {offset}-")
            try:
                async for piece in reply.content.iter_any():
                    at += len(piece)
                    if at > wanted.size:
                        raise InvalidArgument(
                            f"filesystem layer verification failed for digest {wanted.digest}: "
                            f"the registry sends more than its {wanted.size} bytes"
                        )
                    skip = offset - (at - len(piece))  # a registry without ranges begins anew
                    if skip < len(piece):
                        yield piece[skip:] if skip > 0 else piece
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise errors.unreachable("GET", str(reply.url), error) from error
        if at < wanted.size:
            raise errors.Unreachable(f'Get "{where}": unexpected EOF after {at} of {wanted.size} bytes')

    # Pushing

    async def has(self, digest: str) -> bool:
        try:
            async with self.session.ask("HEAD", f"{self.path}/blobs/{digest}", scopes=self.scopes):
                return True
        except errors.Refused as error:
            if error.status == 404:
                return False
            raise

    async def mount(self, digest: str, source: str) -> str:
        """Have a blob of another repository of this registry: empty where that worked, else the upload it began."""
        scopes = (*self.scopes, f"repository:{source}:pull")
        where = f"{self.path}/blobs/uploads/?mount={digest}&from={quote(source, safe='')}"
        async with self.session.ask("POST", where, scopes=scopes, accept=(201, 202)) as reply:
            return "" if reply.status == 201 else self._location(reply)

    async def begin(self) -> str:
        """Where to send a blob to."""
        where = f"{self.path}/blobs/uploads/"
        async with self.session.ask("POST", where, scopes=self.scopes, accept=(202,)) as reply:
            return self._location(reply)

    async def upload(self, where: str, data: AsyncIterable[bytes], digest: str) -> None:
        """Send a blob and have it verified."""
        headers = {"Content-Type": "application/octet-stream"}
        async with self.session.ask(
            "PATCH", where, scopes=self.scopes, headers=headers, data=data, accept=(202, 204, 201)
        ) as reply:
            where = self._location(reply) if reply.headers.get("Location") else where
        where += ("&" if "?" in where else "?") + f"digest={quote(digest, safe='')}"
        async with self.session.ask("PUT", where, scopes=self.scopes, data=b"", accept=(201, 204)):
            return

    async def cancel(self, where: str) -> None:
        """Forget an upload; a registry that cannot is not asked twice."""
        try:
            async with self.session.ask("DELETE", where, scopes=self.scopes, accept=(204, 202, 404)):
                return
        except (errors.Refused, errors.Unreachable):
            return

    async def put(self, reference: str, media_type: str, data: bytes) -> str:
        """Name a manifest whose blobs are there; its digest."""
        where, headers = f"{self.path}/manifests/{reference}", {"Content-Type": media_type}
        async with self.session.ask("PUT", where, scopes=self.scopes, headers=headers, data=data, accept=(201, 202)):
            return manifest.digest_of(data)

    def _location(self, reply: aiohttp.ClientResponse) -> str:
        """Where an upload goes on: on the address itself, or an Unreachable."""
        where = urljoin(str(reply.url), reply.headers.get("Location", ""))
        if not reply.headers.get("Location"):
            raise errors.Unreachable(f"{reply.url}: the registry names no place for the upload")
        return where


@asynccontextmanager
async def opened(
    endpoint: Endpoint, path: str, credentials: Credentials, settings: Settings, *, push: bool = False
) -> AsyncIterator[Repository]:
    """The repository at an address that answers.

    A mirror is another party: it is not shown what was given for the registry, unless it takes the pushes for it.
    """
    own = Credentials() if endpoint.mirror and not push else credentials
    async with Session(endpoint, own, settings) as session:
        await session.ping()
        yield Repository(session, path, push=push)
