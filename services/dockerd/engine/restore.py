"""What dockerd finds when it starts: containers on disk against tasks that run."""

from services.dockerd.engine.engine import Engine


async def load(engine: Engine) -> None:
    """Read all containers from disk into the index. Before `Controller.start`, which wants to know who lives."""
    raise NotImplementedError


async def restore(engine: Engine) -> None:
    """Adopt what runs, record what ended meanwhile, finish removals. Before the listeners open."""
    raise NotImplementedError


async def resume(engine: Engine) -> None:
    """Apply restart policies. Once the listeners are open."""
    raise NotImplementedError
