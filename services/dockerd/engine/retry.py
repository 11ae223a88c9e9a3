"""A restart that waits for its time, after an exit that the policy answers with another start."""

import time

from services.dockerd.container.container import Container
from services.dockerd.container.state import Status
from services.dockerd.engine import save, wait
from services.dockerd.engine.engine import Engine


def cancel(engine: Engine, container: Container) -> bool:
    """Give up a restart that waits for its time: the container has then exited. False where there is none."""
    if container.state.status is not Status.RESTARTING:
        return False
    if container.retry:
        container.retry.cancel()
    container.state = container.state.exited(container.state.exit_code, container.state.finished_at or time.time_ns())
    save.save(engine, container)
    engine.containers.refresh(container)
    wait.wake(container, "not-running")
    return True
