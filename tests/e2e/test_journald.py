"""The log driver `journald`, with a journal of the tests' own in a mount namespace that an engine lives in too."""

from collections.abc import Callable, Iterator

import pytest

from tests.harness.cli import Docker
from tests.harness.engine import REFERENCE, Engine
from tests.harness.sinks import Journal
from tests.harness.wait import until

BOTH = ("busybox", "sh", "-c", "echo out; echo err >&2")
LONG = ("busybox", "sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end")


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Journal]:
    journal = Journal(tmp_path_factory.mktemp("journal"))
    yield journal.start()
    journal.close()


@pytest.fixture(scope="module")
def inside(journal: Journal) -> Iterator[Engine]:
    """An engine in the journal's mount namespace."""
    with Engine(within=journal.pid) as engine:
        yield engine
        engine.stop()


def test_journald_has_dockers_fields(inside: Engine, journal: Journal, name: str) -> None:
    docker = inside.docker
    docker("run", "--name", name, "--log-driver", "journald", "--log-opt", "tag={{.Name}}!", "--log-opt",
           "labels=ro-le", "--label", "ro-le=db", *BOTH)
    identity = docker.inspect(name, "{{.Id}}")
    match = f"CONTAINER_ID_FULL={identity}"
    found = until(lambda: (seen := journal.entries(match)) and len(seen) == 2 and seen, "both lines arrive")
    out, err = sorted(found, key=lambda entry: str(entry["MESSAGE"]), reverse=True)
    assert out.items() >= {
        "MESSAGE": "out", "PRIORITY": "6", "CONTAINER_ID": identity[:12], "CONTAINER_NAME": name,
        "CONTAINER_TAG": f"{name}!", "SYSLOG_IDENTIFIER": f"{name}!", "RO_LE": "db",
    }.items()
    assert (err["MESSAGE"], err["PRIORITY"]) == ("err", "3")
    if not REFERENCE:
        assert out["IMAGE_NAME"] == "busybox" and out["SYSLOG_TIMESTAMP"].endswith("Z")


@pytest.mark.ours  # Debian's is built without reading the journal
def test_journald_is_read_by_logs(inside: Engine, name: str) -> None:
    docker = inside.docker
    docker("run", "--name", name, "--log-driver", "journald", "--log-opt", "env=COLOUR", "-e", "COLOUR=red", *BOTH)
    result = docker("logs", name)
    assert (result.out, result.err) == ("out\n", "err\n")
    assert docker("logs", "--details", name).out == "COLOUR=red out\n"
    docker("run", "--name", f"{name}-long", "--log-driver", "journald", *LONG)
    assert docker.ok("logs", f"{name}-long") == "x" * 40000 + "\nend"
    assert docker.ok("logs", "--tail", "1", f"{name}-long") == "end"


@pytest.mark.ours
def test_journald_is_followed_to_the_end(inside: Engine, name: str) -> None:
    docker = inside.docker
    docker.ok("run", "-d", "--name", name, "--log-driver", "journald", "busybox", "sh", "-c",
              "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done")
    assert docker.ok("logs", "-f", name).splitlines() == [f"line {number}" for number in range(1, 6)]
    stamps = [line.split(" ")[0] for line in docker.ok("logs", "-t", name).splitlines()]
    assert docker.ok("logs", "--since", stamps[3], name).splitlines() == ["line 4", "line 5"]
    assert docker.ok("logs", "--until", stamps[1], name).splitlines() == ["line 1", "line 2"]


@pytest.mark.ours
def test_a_journal_that_comes_back_goes_on(inside: Engine, journal: Journal, name: str) -> None:
    docker = inside.docker
    docker.ok("run", "-d", "-i", "--name", name, "--log-driver", "journald", "busybox", "cat")
    identity = docker.inspect(name, "{{.Id}}")
    journal.stop()
    docker.ok("exec", name, "sh", "-c", "echo lost >/proc/1/fd/1")
    inside.says("log is not taken, lines are dropped driver=journald")
    journal.start()
    docker.ok("exec", name, "sh", "-c", "echo back >/proc/1/fd/1")
    until(lambda: [each["MESSAGE"] for each in journal.entries(f"CONTAINER_ID_FULL={identity}")] == ["back"],
          "what comes later arrives")
    inside.says("log is taken again driver=journald dropped=1")
    docker.ok("rm", "-f", name)


def test_without_a_journal_the_start_fails(docker: Docker, name: str) -> None:
    said = docker.fails("run", "--name", name, "--log-driver", "journald", "busybox", "true", code=125)
    assert "failed to initialize logging driver: journald is not enabled on this host" in said


def test_journald_may_be_the_daemons_driver(fresh: Callable[..., Engine], journal: Journal, name: str) -> None:
    engine = fresh("--log-driver=journald", "--log-opt", "tag={{.Name}}", within=journal.pid)
    engine.docker("run", "--name", name, *BOTH)
    until(lambda: len(journal.entries(f"CONTAINER_TAG={name}")) == 2, "both lines arrive")
    assert engine.docker.ok("info", "-f", "{{.LoggingDriver}}") == "journald"
    engine.stop()
