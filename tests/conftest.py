"""Fixtures every test may ask for. Only tests under e2e/ and kill/ ever start an engine."""

import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from types import FrameType

import pytest

from tests.harness import given, leftovers
from tests.harness.cli import Docker
from tests.harness.engine import REFERENCE, Engine
from tests.harness.http import API
from tests.harness.signals import default_library_signals
from tests.harness.wait import PATIENCE, until

NUMBERS = count(1)
LIMIT = 150
E2E = Path(__file__).parent / "e2e"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): how long the test may take")
    config.addinivalue_line("markers", "thorough: in the lab by `make test-lab` alone")
    config.addinivalue_line("markers", "ours: what Debian's docker.io cannot do, or does otherwise by design")
    default_library_signals()  # ours gets rid of them itself, the reference does not
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that whoever ends the run gets its clean-up too


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if REFERENCE:
        for item in items:
            if item.get_closest_marker("ours"):
                item.add_marker(pytest.mark.skip(reason="a promise of this engine alone"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Every engine is closed by now: a run that leaves files behind has failed.

    So has one of all end-to-end tests in which an option of the daemon was never tried, as a flag and as a key.
    """
    if whole(session) and (missing := given.missing()):
        print("\nno daemon was started with:", *missing)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if left := leftovers.files():
        print("\nleft behind:", *left)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def whole(session: pytest.Session) -> bool:
    """Whether every end-to-end test was asked for, and of ours."""
    config = session.config
    ran = {item.path for item in session.items}
    return not (
        REFERENCE or session.testsfailed or config.option.keyword or config.option.markexpr or config.option.deselect
        or set(E2E.glob("test_*.py")) - ran or any("::" in word for word in config.args)
    )


@pytest.fixture(autouse=True)
def limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that hangs fails where it hangs, and the others go on."""

    marker = request.node.get_closest_marker("limit")
    seconds = int((marker.args[0] if marker else LIMIT) * PATIENCE)

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"the test did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine under test, with busybox loaded: shared, so leave it as you found it."""
    with Engine() as engine:
        yield engine
        engine.stop()
        assert REFERENCE or not engine.remains()


@pytest.fixture
def docker(engine: Engine) -> Iterator[Docker]:
    yield engine.docker
    clean(engine.api)


@pytest.fixture
def api(engine: Engine) -> Iterator[API]:
    yield engine.api
    clean(engine.api)


def clean(api: API) -> None:
    """Removes the containers, volumes and networks a test has left; also those that are about to go by themselves."""

    def gone(path: str, things: Callable[[], list[str]], **query: object) -> Callable[[], bool]:
        def empty() -> bool:
            for thing in things():
                api("DELETE", f"/{path}/{thing}", **query)
            return not things()

        return empty

    def containers() -> list[str]:
        return [each["Id"] for each in api.get("/containers/json", all=1)]

    def volumes() -> list[str]:
        return [each["Name"] for each in api.get("/volumes")["Volumes"] or []]

    def networks() -> list[str]:
        return [each["Id"] for each in api.get("/networks", filters={"type": {"custom": True}})]

    until(gone("containers", containers, force=1, v=1), "no container is left", 30)
    until(gone("volumes", volumes, force=1), "no volume is left")
    until(gone("networks", networks), "no network is left")


@pytest.fixture
def images_gone(engine: Engine) -> Iterator[None]:
    """Of a test that makes images: none but busybox:latest is left."""
    yield
    clean(engine.api)
    for image in engine.api.get("/images/json", all=1):
        names = [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
        for name in [each for each in names if each != "busybox:latest"]:
            engine.api("DELETE", f"/images/{name}", force=1)
        if "busybox:latest" not in names:
            engine.api("DELETE", f"/images/{image['Id']}", force=1)
    if not engine.api.get("/images/json", filters={"reference": {"busybox:latest": True}}):
        engine.load()


@pytest.fixture
def name() -> str:
    return f"box{next(NUMBERS)}"


@pytest.fixture
def fresh() -> Iterator[Callable[..., Engine]]:
    """Engines of a test's own: `fresh("--flag", …)` starts one."""
    made: list[Engine] = []

    def make(*flags: str, start: bool = True, **more: str) -> Engine:
        engine = Engine(*flags, **more)  # type: ignore[arg-type]
        made.append(engine)
        if start:
            engine.start()
            engine.load()
        return engine

    yield make
    for engine in made:
        engine.close()
