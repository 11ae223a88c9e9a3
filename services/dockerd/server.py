"""dockerd's life: numbered phases up on one exit stack, the same back down with a deadline. Wiring, nothing else."""

import asyncio
import faulthandler
import functools
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

from protos import stacks
from protos.errdefs import EngineError
from services.dockerd import cgroups, hosts, invocation, requirements, rules, userns
from services.dockerd.config import Config
from services.dockerd.engine import assemble, monitor, reload, restore, shutdown
from services.dockerd.engine.engine import Engine
from services.dockerd.events import Journal
from services.dockerd.images.store import Images
from services.dockerd.network.controller import Controller
from services.dockerd.notify import Teller
from services.dockerd.orphans import Orphans
from services.dockerd.release import VERSION
from services.dockerd.remote import drivers, launch
from services.dockerd.remote.client import Client
from services.dockerd.remote.launch import Process
from services.dockerd.remote.supervisor import Supervisor
from services.dockerd.volumes.store import Volumes
from services.dockerd.web.asgi import ASGIApp
from services.dockerd.web.late import Late
from services.dockerd.web.listeners import Listener, Sockets

if TYPE_CHECKING:
    from services.dockerd.web.serve import Web

log = logging.getLogger("server")

_SWITCH: Final = sys.getswitchinterval()
STOP: Final = 60
"""Seconds that a stop, beyond the containers' own time, and a start that failed may take before they dump all stacks
and end by force."""
RESTARTED: Final = 30
"""Seconds that `ready` waits for containers that start again; one that takes longer goes on."""


async def run(config: Config, sockets: Sockets, contained: Process | None, tell: Teller) -> int:
    """Serve until a signal; `contained` is the docker-containerd that `launch.begin` gave. The exit code."""
    # While a thread loads the application, the loop is not to wait for its turn.
    sys.setswitchinterval(0.0005)
    stop, forced = _signals()
    hangup = _hangup()
    forget = stacks.always(str(config.exec_root / "dockerd.stacks.log"))
    faulthandler.enable()  # the watchdog's SIGABRT says where we hang
    living = asyncio.ensure_future(tell.live())
    try:
        async with serve(config, sockets, contained, forced) as engine:
            engine.spawn(_reload(engine, hangup, tell), "reload")
            # As with Docker, whoever was told `ready` finds what starts again running.
            await _either(engine.spawn(restore.resume(engine), "policies"), stop)
            tell("ready")
            log.info("Daemon has completed initialization version=%s", VERSION)
            await stop.wait()
            log.info("stopping")
            tell("stopping")
            _deadline(engine)
    except (EngineError, OSError) as error:
        tell(f"failed: {error}")
        log.critical("failed to start daemon: %s", error)
        return 1
    finally:
        living.cancel()
        forget()
        faulthandler.dump_traceback_later(STOP, exit=True)  # tasks and threads have yet to end
    return 0


async def _either(restarted: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Until all that starts again has been started, but for a container whose start hangs, or until a signal."""
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait((restarted, stopped), timeout=RESTARTED, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()


@asynccontextmanager
async def serve(
    config: Config, sockets: Sockets, contained: Process | None, forced: asyncio.Event
) -> AsyncIterator[Engine]:
    """The running engine; everything that was started is stopped in reverse, without patience once `forced` is set."""
    async with AsyncExitStack() as stack:
        with _bounded():
            engine, supervisor, web = await _begin(config, sockets, contained, stack)
        yield engine
        web.refuse()
        await supervisor.revive()
        await shutdown.shutdown(engine, forced)
        cgroups.remove_parent()


async def _begin(
    config: Config, sockets: Sockets, contained: Process | None, stack: AsyncExitStack
) -> tuple[Engine, Supervisor, "Web"]:
    """All phases of the start."""
    # 1. docker-containerd, which has been booting beside our imports.
    client = Client(config.containerd_address, config.containerd_namespace)
    stack.push_async_callback(client.close)
    supervisor = Supervisor(config, contained, client.answers)
    stack.push_async_callback(supervisor.stop)
    stack.enter_context(Orphans())
    # 2. Sockets have been open since before; they close once what answered them has.
    for listener in sockets.api:
        stack.callback(listener.close)
    # 3. The engine's parts, from disk.
    engine, network, images = _assemble(config, client, stack)
    restore.load(engine)
    # 4. Network and images at once: what lives is adopted, what docker-containerd holds is read.
    stack.push_async_callback(images.stop)
    stack.push_async_callback(engine.volumes.mounting.stop)
    stack.push_async_callback(_end_network, engine, network)
    app = Late(lambda: _application(engine))
    front = asyncio.get_running_loop().run_in_executor(None, _front, engine, app, sockets.api)
    measuring = _measure(engine, sockets.metrics, stack)
    await _together(_connect(network, engine), _contain(supervisor, images), measuring)
    # 5. Containers: what ended meanwhile is told, what runs is watched.
    stack.push_async_callback(_end_background, engine)
    monitor.start(engine)
    await restore.restore(engine)
    # 6. The API.
    if config.authorization_plugins:
        from services.dockerd.web import authorize

        await authorize.validate(engine.plugins, config.authorization_plugins)
    web = await front
    stack.push_async_callback(web.stop)
    await web.start()
    # 7. What can wait.
    engine.spawn(_settle(app), "settle")
    return engine, supervisor, web


@contextmanager
def _bounded() -> Iterator[None]:
    """A failed start that hangs while it is taken back says where, and ends."""
    try:
        yield
    except BaseException:
        faulthandler.dump_traceback_later(STOP, exit=True)
        raise


def _assemble(config: Config, client: Client, stack: AsyncExitStack) -> tuple[Engine, Controller, Images]:
    journal = stack.enter_context(closing(Journal(config.data_root).open()))
    volumes = stack.enter_context(closing(Volumes(config.data_root / "volumes", config.exec_root / "volumes")))
    if config.owners:
        volumes.owner = config.owners.root
    volumes.emit = lambda action, name, attributes: journal.publish("volume", action, name, attributes)
    volumes.load()

    def tell(action: str, network: str, attributes: dict[str, str]) -> None:
        journal.publish("network", action, network, attributes)

    controller = Controller(config.network, tell)
    images = Images(client)
    return assemble.assemble(config, client, images, controller, volumes, journal), controller, images


def _front(engine: Engine, app: Late, listeners: list[Listener]) -> "Web":
    """The API's front, imported in a thread while network and docker-containerd are waited for."""
    from services.dockerd.web import guard, heads, prepared
    from services.dockerd.web.authorize import Authorized
    from services.dockerd.web.fast import Fast
    from services.dockerd.web.serve import Web

    def authorizers() -> tuple[str, ...]:
        return engine.config.authorization_plugins

    fast = Fast(heads.common(VERSION), rules.api_version(engine.config.min_api_version), barred=authorizers)
    fast.sources["/containers/json"] = functools.partial(prepared.containers, engine)
    asked = Authorized(app, engine.plugins, authorizers)
    return Web(asked, fast, listeners, guard.names(hosts.parse(host).target for host in engine.config.hosts))


def _application(engine: Engine) -> ASGIApp:
    from services.dockerd.web import app, routes  # FastAPI: loaded in a thread, after what the start needs

    return app.build(engine, routes.routers(), rules.api_version(engine.config.min_api_version))


async def _connect(network: Controller, engine: Engine) -> None:
    try:
        await network.start(assemble.live(engine))
    except OSError as error:
        raise requirements.links(error) from error


async def _contain(supervisor: Supervisor, images: Images) -> None:
    await supervisor.start()
    chosen = await drivers.choose(images.client, supervisor.config.storage_driver)
    images.snapshotter, images.rebases = chosen.id, drivers.REBASE in chosen.capabilities
    await images.start()


async def _measure(engine: Engine, listening: socket.socket | None, stack: AsyncExitStack) -> None:
    if listening:
        from services.dockerd.metrics import exporter  # few ask for it

        await stack.enter_async_context(exporter.exporting(engine, listening))


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """All of them, or the first failure once none runs any more."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for failure in results:
        if isinstance(failure, BaseException):
            raise failure


async def _settle(app: Late) -> None:
    """Once everything is loaded: what is there now stays, so the collector need not look at it again."""
    await app.begin()
    sys.setswitchinterval(_SWITCH)
    gc.collect()
    gc.freeze()
    gc.enable()


async def _end_network(engine: Engine, network: Controller) -> None:
    """Containers that go on running keep their network: with live restore, when a start has failed, and where they
    could not be stopped."""
    running = [each.id for each in engine.containers if each.state.running]
    await network.stop(keep=engine.config.live_restore or not engine.closing, running=running)


async def _end_background(engine: Engine) -> None:
    for task in list(engine.background):
        task.cancel()
    await asyncio.gather(*engine.background, return_exceptions=True)


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """SIGTERM and SIGINT set the first event, a second one the second, and a third ends at once, as Docker's does."""
    loop = asyncio.get_running_loop()
    stop, forced = asyncio.Event(), asyncio.Event()

    def ask(number: int) -> None:
        if forced.is_set():
            log.critical("third signal, ending without cleaning up: what still runs goes on running")
            os._exit(128 + number)
        if stop.is_set():
            log.warning("second signal: containers are killed now, a third ends the daemon without cleaning up")
            forced.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, number)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    return stop, forced


def _hangup() -> asyncio.Event:
    """SIGHUP, which may come before there is anything to reload."""
    hangup = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    return hangup


async def _reload(engine: Engine, hangup: asyncio.Event, tell: Teller) -> None:
    """Each SIGHUP reads flags and file again, as they were given at the start."""
    while await hangup.wait():
        hangup.clear()
        tell("reloading")
        reload.reload(engine, lambda: userns.as_settled(engine.config, invocation.parse(sys.argv[1:]).config))
        tell("ready")


def _deadline(engine: Engine) -> None:
    """A stop that hangs says where and what it leaves, and ends."""
    if (longest := shutdown.longest(engine)) is not None:
        faulthandler.dump_traceback_later(longest + STOP, exit=True)
        asyncio.get_running_loop().call_later(longest + STOP - 1, _tell_left, engine)


def _tell_left(engine: Engine) -> None:
    found = launch.find(engine.config.containerd_address)
    log.critical(
        "the stop takes too long and is ended by force; the next start takes over what is left running: "
        "docker-containerd=%s containers=%s", found.pid if found else "",
        ",".join(each.short for each in engine.containers if each.state.running),
    )
