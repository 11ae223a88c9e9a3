"""The body of POST /containers/{id}/update: the limits and the restart policy that are to change."""

from services.dockerd.schema.container import Resources, RestartRule


class UpdateRequest(Resources):
    RestartPolicy: RestartRule | None = None
