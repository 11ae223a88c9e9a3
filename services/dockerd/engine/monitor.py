"""What docker-containerd tells of tasks: exits, deaths by memory, lost shims."""

from services.dockerd.engine.engine import Engine


async def start(engine: Engine) -> None:
    """Follow docker-containerd's events from now on; after any reconnect tasks are listed and compared."""
    raise NotImplementedError
