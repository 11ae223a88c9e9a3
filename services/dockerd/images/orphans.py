"""What a dockerd that died in the midst of a pull, load or commit left in docker-containerd: its leases and ingests."""

import asyncio
import logging
from typing import Final

from protos import errdefs
from protos.containerd.services.content.v1 import content_pb2
from protos.containerd.services.leases.v1 import leases_pb2
from services.dockerd.images import content
from services.dockerd.remote.client import Client

log = logging.getLogger("images")

LABEL: Final = "moby/operation"
"""On each lease of ours; nobody but a living dockerd holds one."""
_AGAIN: Final = 1.0
"""Seconds between two tries to give a lease back."""
REFS: Final = ("pull-", "load-", "import-", "compress-", "document-", "commit-")
"""How the names of our ingests begin."""


async def release(client: Client, lease: str) -> None:
    """Give a lease back; one that is gone is no error."""
    try:
        await client.call(client.leases.Delete, leases_pb2.DeleteRequest(id=lease))
    except errdefs.NotFound:
        return


async def release_later(client: Client, lease: str) -> None:
    """Try until it succeeds: what the lease holds would never be collected."""
    while True:
        await asyncio.sleep(_AGAIN)
        try:
            return await release(client, lease)
        except errdefs.EngineError as error:
            log.debug("lease not given back yet lease=%s error=%s", lease, error)


async def forget(client: Client) -> None:
    """Before anything is begun: let go of all that, so that it is collected."""
    asked = leases_pb2.ListRequest(filters=[f'labels."{LABEL}"==yes'])
    for lease in (await client.call(client.leases.List, asked)).leases:
        log.info("letting go of what an earlier life held lease=%s", lease.id)
        await release(client, lease.id)
    found = await client.call(client.content.ListStatuses, content_pb2.ListStatusesRequest())
    for status in found.statuses:
        if status.ref.startswith(REFS):
            await content.abort(client, status.ref)
