"""Log drivers, against real sinks and strict ones: what arrives, what `docker logs` shows, what a dead sink does.

journald has a file of its own.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import certs
from tests.harness.certs import Authority
from tests.harness.cli import Docker
from tests.harness.engine import REFERENCE, Engine
from tests.harness.sinks import (
    Receiver,
    Rsyslog,
    counted_syslog,
    datagrams,
    encrypted,
    fluentd,
    gelf_datagrams,
    gelf_stream,
    listener,
    receiving,
    splunk,
    unix_listener,
)
from tests.harness.wait import until

BOTH = ("busybox", "sh", "-c", "echo out; echo err >&2")
LONG = ("busybox", "sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end")
ports = iter(range(20000, 30000))


@pytest.fixture(scope="module", autouse=True)
def settled(engine: Engine) -> Iterator[None]:
    """Others find the engine without a shim that waits for its sink, which was taken away."""
    yield
    until(lambda: not engine.pids("docker-log"), "logs have ended", timeout=20)


@pytest.fixture
def port() -> int:
    return next(ports)


@pytest.fixture
def rsyslog(engine: Engine, tmp_path: Path, port: int) -> Iterator[Rsyslog]:
    rsyslog = Rsyslog(tmp_path, engine.network, port).start()
    yield rsyslog
    rsyslog.stop()


def directory(engine: Engine, docker: Docker, name: str) -> Path:
    return engine.data / "containers" / docker.inspect(name, "{{.Id}}")


# local


def test_local_is_read_by_logs(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "--log-driver", "local", *BOTH)
    result = docker("logs", name)
    assert (result.out, result.err) == ("out\n", "err\n")
    assert docker.inspect(name, "{{.LogPath}}") == ""


@pytest.mark.ours  # Debian's forgets the newline
def test_local_keeps_a_long_line_together(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "--log-driver", "local", *LONG)
    assert docker.ok("logs", name) == "x" * 40000 + "\nend"
    assert docker.ok("logs", "--tail", "1", name) == "end"


def test_local_is_turned_over_and_followed(engine: Engine, docker: Docker, name: str) -> None:
    limits = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3")
    docker.ok("run", "-d", "--name", name, "--log-driver", "local", *limits, "busybox", "sh", "-c",
              "i=0; while [ $i -lt 6000 ]; do i=$((i+1)); echo line $i; done")
    docker.ok("wait", name)
    assert docker.ok("logs", name).splitlines()[-1] == "line 6000"
    logs = directory(engine, docker, name) / "local-logs"
    wanted = {"container.log", "container.log.1.gz", "container.log.2.gz"}
    until(lambda: {path.name for path in logs.iterdir()} == wanted, "the files are compressed")


@pytest.mark.ours
def test_debians_docker_reads_our_files(engine: Engine, docker: Docker, name: str) -> None:
    limits = ("--log-opt", "max-size=20k", "--log-opt", "max-file=5")
    command = ("busybox", "sh", "-c", "echo begin >&2; seq 1 4000; sleep 0.1; head -c 20000 /dev/zero | tr '\\0' x")
    docker("run", "--name", name, "--log-driver", "local", *limits, *command)
    ours = directory(engine, docker, name) / "local-logs"
    until(lambda: all(path.suffix == ".gz" for path in ours.glob("*.log.*")), "the files are compressed")
    assert len(list(ours.glob("*.gz"))) > 2
    wanted = docker("logs", "-t", name)
    with Engine(reference=True) as other:
        other.docker("run", "--name", name, "--log-driver", "local", *limits, "busybox", "true")
        shutil.copytree(ours, directory(other, other.docker, name) / "local-logs", dirs_exist_ok=True)
        seen = other.docker("logs", "-t", name)
        assert (seen.out, seen.err) == (wanted.out, wanted.err)
        assert other.docker.ok("logs", "--tail", "3", name) == docker.ok("logs", "--tail", "3", name)
        other.stop()


@pytest.mark.ours
def test_attributes_of_local_are_details(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "--log-driver", "local", "--log-opt", "tag={{.Name}}", "--log-opt", "labels=role",
           "--label", "role=db", "busybox", "echo", "hi")
    assert docker.ok("logs", "--details", name) == f"role=db,tag={name} hi"


# syslog


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("rfc3164", r"<30>\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (\S+)\[\d+\]: out"),
        ("rfc5424", r"<30>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d) \S+ (\S+) \d+ \S+ - out"),
        ("rfc5424micro", r"<30>1 \S+\.\d{6}(?:Z|[+-]\d\d:\d\d) \S+ (\S+) \d+ \S+ - out"),
    ],
)
def test_syslog_by_tcp(docker: Docker, name: str, rsyslog: Rsyslog, port: int, form: str, pattern: str) -> None:
    docker("run", "--name", name, "--log-driver", "syslog", "--log-opt", f"syslog-address=tcp://127.0.0.1:{port}",
           "--log-opt", f"syslog-format={form}", "--log-opt", "tag={{.Name}}/{{.ID}}", *BOTH)
    lines = until(lambda: (found := rsyslog.lines()) and len(found) == 2 and found, "both lines arrive")
    matches = [match for line in lines if (match := re.fullmatch(pattern, line))]
    assert [match[1] for match in matches] == [f"{name}/{docker.inspect(name, '{{.Id}}')[:12]}"]
    assert [line for line in lines if line.startswith("<27>") and line.endswith("err")]


def test_syslog_by_udp_and_unix_socket(docker: Docker, name: str, rsyslog: Rsyslog, port: int) -> None:
    for number, address in enumerate((f"udp://127.0.0.1:{port}", f"unixgram://{rsyslog.datagrams}")):
        docker("run", "--name", f"{name}-{number}", "--log-driver", "syslog", "--log-opt", f"syslog-address={address}",
               "--log-opt", "syslog-facility=local3", *BOTH)
        until(lambda: len(rsyslog.lines()) == 2, f"both lines arrive by {address}")
        assert sorted(line[:5] for line in rsyslog.lines()) == ["<155>", "<158>"]
        rsyslog.file.write_text("")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = certs.authority(tmp_path_factory.mktemp("certificates"))
    made.server()
    made.client()
    return made


@pytest.mark.parametrize("form", ["rfc3164", "rfc5424"])
def test_syslog_by_tls(
    engine: Engine, docker: Docker, name: str, port: int, authority: Authority, form: str
) -> None:
    client = authority.directory / "clientAuth-client"
    with receiving(Receiver(listener(engine.network, port), encrypted(authority, counted_syslog))) as receiver:
        docker("run", "--name", name, "--log-driver", "syslog", "--log-opt", f"syslog-format={form}",
               "--log-opt", f"syslog-address=tcp+tls://127.0.0.1:{port}", "--log-opt",
               f"syslog-tls-ca-cert={authority.ca}", "--log-opt", f"syslog-tls-cert={client}/cert.pem",
               "--log-opt", f"syslog-tls-key={client}/key.pem", *BOTH)
        until(lambda: len(receiver.seen) == 2, "both lines arrive")
    assert sorted(line[-4:] for line in receiver.seen) == ["err\n", "out\n"]


@pytest.mark.ours
def test_syslog_by_tls_is_dialled_again(
    engine: Engine, docker: Docker, name: str, port: int, authority: Authority
) -> None:
    with receiving(Receiver(listener(engine.network, port), encrypted(authority, counted_syslog, strict=False))):
        docker.ok("run", "-d", "-i", "--name", name, "--log-driver", "syslog", "--log-opt",
                  f"syslog-address=tcp+tls://127.0.0.1:{port}", "--log-opt", f"syslog-tls-ca-cert={authority.ca}",
                  "busybox", "cat")
    with receiving(
        Receiver(listener(engine.network, port), encrypted(authority, counted_syslog, strict=False))
    ) as receiver:
        docker.ok("exec", name, "sh", "-c", "echo back >/proc/1/fd/1")
        until(lambda: len(receiver.seen) == 1, "the line arrives by a new connection")
        docker.ok("rm", "-f", name)


def test_an_untrusted_sink_fails_the_start(
    engine: Engine, docker: Docker, name: str, port: int, authority: Authority
) -> None:
    sink = Receiver(listener(engine.network, port), encrypted(authority, counted_syslog, strict=False))
    with receiving(sink):
        options = ("--log-driver", "syslog", "--log-opt", f"syslog-address=tcp+tls://127.0.0.1:{port}")
        said = docker.fails("run", "--name", name, *options, "busybox", "true", code=125)
        assert "failed to initialize logging driver: " in said and "x509: " in said
        docker("run", "--name", f"{name}-2", *options, "--log-opt", "syslog-tls-skip-verify=true", "--log-opt",
               "syslog-format=rfc5424", "busybox", "echo", "hi")
        until(lambda: len(sink.seen) == 1, "the line arrives unverified")


def test_syslog_is_dialled_again(docker: Docker, name: str, rsyslog: Rsyslog, port: int) -> None:
    docker.ok("run", "-d", "-i", "--name", name, "--log-driver", "syslog", "--log-opt",
              f"syslog-address=tcp://127.0.0.1:{port}", "busybox", "cat")
    docker.ok("exec", name, "sh", "-c", "echo one >/proc/1/fd/1")
    until(lambda: len(rsyslog.lines()) == 1, "the first line arrives")
    rsyslog.stop()
    rsyslog.start()
    docker.ok("exec", name, "sh", "-c", "echo two >/proc/1/fd/1")
    if REFERENCE:  # its first write into the dead connection is lost
        docker.ok("exec", name, "sh", "-c", "echo two >/proc/1/fd/1")
    until(lambda: [line for line in rsyslog.lines() if line.endswith("two")], "the second arrives")
    assert docker.ok("logs", name).splitlines()[:2] == ["one", "two"]


def test_a_sink_that_is_not_there_fails_the_start(docker: Docker, name: str, port: int) -> None:
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    for driver, key in (("syslog", "syslog-address"), ("fluentd", "fluentd-address"), ("gelf", "gelf-address")):
        said = docker.fails("run", "--name", f"{name}-{driver}", "--log-driver", driver, "--log-opt",
                            f"{key}=tcp://127.0.0.1:{port}", "busybox", "true", code=125)
        assert "failed to initialize logging driver: " in said and refused in said
    assert "gelf: cannot connect to GELF endpoint: " in said


# gelf


@pytest.mark.parametrize("kind", ["gzip", "zlib", "none"])
def test_gelf_by_udp(engine: Engine, docker: Docker, name: str, port: int, kind: str) -> None:
    with receiving(Receiver(datagrams(engine.network, port), gelf_datagrams)) as graylog:
        docker("run", "--name", name, "--log-driver", "gelf", "--log-opt", f"gelf-address=udp://127.0.0.1:{port}",
               "--log-opt", f"gelf-compression-type={kind}", "--log-opt", "env=COLOUR", "-e", "COLOUR=red",
               "busybox", "sh", "-c", "echo out; sleep 0.1; head -c 12000 /dev/urandom | base64 -w 0")
        until(lambda: len(graylog.seen) == 2, "both messages arrive")
        first, second = graylog.seen
    identity = docker.inspect(name, "{{.Id}}")
    assert first.items() >= {
        "short_message": "out", "level": 6, "_container_id": identity, "_container_name": name,
        "_image_name": "busybox", "_tag": identity[:12], "_COLOUR": "red",
    }.items()
    assert len(second["short_message"]) == 16000 and first["_command"].startswith("sh -c echo")


def test_gelf_by_tcp(engine: Engine, docker: Docker, name: str, port: int) -> None:
    with receiving(Receiver(listener(engine.network, port), gelf_stream)) as graylog:
        address = f"gelf-address=tcp://127.0.0.1:{port}"
        docker("run", "--name", name, "--log-driver", "gelf", "--log-opt", address, *BOTH)
        until(lambda: len(graylog.seen) == 2, "both messages arrive")
    assert sorted((each["short_message"], each["level"]) for each in graylog.seen) == [("err", 3), ("out", 6)]


# fluentd


@pytest.mark.parametrize("acknowledged", ["false", "true"])
def test_fluentd_by_tcp(engine: Engine, docker: Docker, name: str, port: int, acknowledged: str) -> None:
    with receiving(Receiver(listener(engine.network, port), fluentd)) as receiver:
        docker("run", "--name", name, "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{port}",
               "--log-opt", "tag=docker.{{.Name}}", "--log-opt", "fluentd-sub-second-precision=true",
               "--log-opt", f"fluentd-request-ack={acknowledged}", "busybox", "sh", "-c",
               "echo out; sleep 0.2; echo err >&2")
        until(lambda: len(receiver.seen) == 2, "both messages arrive")
    identity = docker.inspect(name, "{{.Id}}")
    assert sorted((record["source"], record["log"]) for _, _, record in receiver.seen) == [
        ("stderr", "err"), ("stdout", "out")
    ]
    tag, at, record = receiver.seen[0]
    assert (tag, at.code, record["container_id"]) == (f"docker.{name}", 0, identity)
    assert record["container_name"] == f"/{name}"


def test_fluentd_tells_pieces_of_a_line(docker: Docker, name: str, tmp_path: Path) -> None:
    with receiving(Receiver(unix_listener(tmp_path / "socket"), fluentd)) as receiver:
        docker("run", "--name", name, "--log-driver", "fluentd", "--log-opt",
               f"fluentd-address=unix://{tmp_path}/socket", *LONG)
        until(lambda: len(receiver.seen) == 4, "all pieces arrive")
    records = [record for _, _, record in receiver.seen]
    assert [(each["partial_ordinal"], each["partial_last"]) for each in records[:3]] == [
        ("1", "false"), ("2", "false"), ("3", "true")
    ]
    assert "".join(each["log"] for each in records[:3]) == "x" * 40000 and "partial_id" not in records[3]


def test_fluentd_async_needs_no_sink(engine: Engine, docker: Docker, name: str, port: int) -> None:
    docker.ok("run", "-d", "--name", name, "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{port}",
              "--log-opt", "fluentd-async=true", "--log-opt", "fluentd-retry-wait=50ms", "busybox", "sh", "-c",
              "seq 1 100; sleep 100")
    until(lambda: len(docker.ok("logs", name).splitlines()) == 100, "the copy has all lines")
    with receiving(Receiver(listener(engine.network, port), fluentd)) as receiver:
        until(lambda: len(receiver.seen) == 100, "they arrive once there is a sink", timeout=30)
    assert [record["log"] for _, _, record in receiver.seen] == [str(number) for number in range(1, 101)]


# splunk


def collector(port: int, scheme: str = "http", **options: str) -> list[str]:
    """Options of the driver for a collector on `port`."""
    given = {"url": f"{scheme}://127.0.0.1:{port}", "token": "secret", **options}
    words = [f"splunk-{name.replace('_', '-')}={value}" for name, value in given.items()]
    return ["--log-driver", "splunk", *(word for each in words for word in ("--log-opt", each))]


@pytest.mark.parametrize("packed", ["false", "true"])
def test_splunk_gets_events(engine: Engine, docker: Docker, name: str, port: int, packed: str) -> None:
    with receiving(Receiver(listener(engine.network, port), splunk)) as sink:
        words = collector(port, gzip=packed, source="there", sourcetype="kind", index="main")
        docker.ok("run", "-d", "--name", name, *words, "--log-opt", "env=COLOUR", "-e", "COLOUR=red", *BOTH)
        until(lambda: len(sink.seen) == 2, "both events arrive", timeout=30)
        shown = docker("logs", name)
    (first, headers), (second, _) = sorted(sink.seen, key=lambda each: str(each[0]["event"]["source"]))
    identity = docker.inspect(name, "{{.Id}}")
    assert first["event"] == {"line": "err", "source": "stderr", "tag": identity[:12], "attrs": {"COLOUR": "red"}}
    assert second["event"]["line"] == "out" and ("Content-Encoding" in headers) == (packed == "true")
    assert (first["source"], first["sourcetype"], first["index"]) == ("there", "kind", "main")
    assert (shown.out, shown.err) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("form", "events"),
    [("json", [{"line": {"a": 1}, "source": "stdout", "tag": "t"}, {"line": "b", "source": "stdout", "tag": "t"}]),
     ("raw", ['t {"a": 1}', "t b"])],
)
def test_splunk_formats(
    engine: Engine, docker: Docker, name: str, port: int, form: str, events: list[object]
) -> None:
    with receiving(Receiver(listener(engine.network, port), splunk)) as sink:
        script = """echo '{"a": 1}'; sleep 0.1; echo b"""
        words = (*collector(port, format=form), "--log-opt", "tag=t", "busybox", "sh", "-c", script)
        docker.ok("run", "-d", "--name", name, *words)
        until(lambda: len(sink.seen) == 2, "both events arrive", timeout=30)
    assert [event["event"] for event, _ in sink.seen] == events


def test_splunk_by_tls(engine: Engine, docker: Docker, name: str, port: int, authority: Authority) -> None:
    with receiving(Receiver(listener(engine.network, port), encrypted(authority, splunk, strict=False))) as sink:
        words = collector(port, "https", capath=str(authority.ca), caname="localhost")
        docker.ok("run", "-d", "--name", name, *words, "busybox", "echo", "safe")
        until(lambda: len(sink.seen) == 1, "the event arrives", timeout=30)
        said = docker.fails("run", *collector(port, "https"), "busybox", "true", code=125 if not REFERENCE else None)
    assert "failed to initialize logging driver: " in said and "certificate" in said


def test_splunk_that_is_not_there_fails_the_start(docker: Docker, port: int) -> None:
    said = docker.fails("run", *collector(port), "busybox", "true")
    assert f"127.0.0.1:{port}: connect: connection refused" in said
    said = docker.fails("run", "--log-driver", "splunk", "busybox", "true")
    assert "failed to initialize logging driver: splunk: splunk-url is expected" in said
    docker.ok("run", *collector(port, verify_connection="false"), "busybox", "true")


@pytest.mark.ours
def test_splunk_is_asked_again(engine: Engine, docker: Docker, name: str, port: int) -> None:
    """What is written while it is slow goes in few requests; a refusal is told and dropped."""
    with receiving(Receiver(listener(engine.network, port), splunk)) as sink:
        script = "echo first; read -r _; seq 1 2000"
        child = docker.start("run", "-i", "--name", name, *collector(port), "busybox", "sh", "-c", script)
        until(lambda: len(sink.seen) == 1, "the first event arrives", timeout=30)
        child.communicate(b"go\n", timeout=60)
        until(lambda: len(sink.seen) == 2001, "all events arrive", timeout=30)
        docker.ok("run", "-d", *collector(port, token="wrong"), "busybox", "sh", "-c", "echo lost; sleep 60")
        engine.says('splunk: failed to send event - 403 Forbidden - {"text":"Invalid token","code":4}')
    assert [event["event"]["line"] for event, _ in sink.seen[1:]] == [str(number) for number in range(1, 2001)]


# sinks that do not take what they are given


@pytest.mark.ours
def test_a_slow_sink_holds_up_nobody_without_blocking(engine: Engine, docker: Docker, name: str, port: int) -> None:
    with receiving(Receiver(listener(engine.network, port), fluentd)) as receiver:
        receiver.taking.clear()
        docker("run", "--name", name, "--log-driver", "fluentd", "--log-opt", f"fluentd-address=127.0.0.1:{port}",
               "--log-opt", "mode=non-blocking", "--log-opt", "max-buffer-size=100k", "busybox", "sh", "-c",
               "i=0; while [ $i -lt 400 ]; do i=$((i+1)); head -c 20000 /dev/zero | tr '\\0' y; echo; done", timeout=60)
        engine.says("log sink does not keep up, the newest lines are dropped driver=fluentd")
        receiver.taking.set()
        identity = docker.inspect(name, "{{.Id}}")
        pattern = rf"container={identity[:12]}.*log ends driver=fluentd written=(\d+) dropped=(\d+) waiting=(\d+)"
        end = until(lambda: re.search(pattern, engine.log.read_text()), "what was dropped is told")
        written, dropped, waiting = map(int, end.groups())
        until(lambda: len(receiver.seen) == written + waiting, "all others arrive")
    assert written + dropped + waiting == 800 and dropped > 0


def test_a_slow_sink_holds_up_its_container(engine: Engine, docker: Docker, name: str, port: int) -> None:
    with receiving(Receiver(listener(engine.network, port), fluentd)) as receiver:
        receiver.taking.clear()
        docker.ok("run", "-d", "--name", name, "--log-driver", "fluentd", "--log-opt",
                  f"fluentd-address=127.0.0.1:{port}", "-v", "/done", "busybox", "sh", "-c",
                  "i=0; while [ $i -lt 2000 ]; do i=$((i+1)); head -c 9999 /dev/zero | tr '\\0' z; echo; done")
        until(lambda: waits_for_a_pipe(docker.inspect(name, "{{.State.Pid}}")), "the container waits", timeout=60)
        assert docker.inspect(name, "{{.State.Status}}") == "running"
        receiver.taking.set()
        assert docker.ok("wait", name, timeout=60).strip() == "0"
        until(lambda: len(receiver.seen) == 2000, "every line has arrived", timeout=30)


def waits_for_a_pipe(pid: str) -> bool:
    """Twice in a row, all of a container's processes."""
    def waiting() -> bool:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return any("pipe_w" in Path(f"/proc/{each}/wchan").read_text() for each in (pid, *children))

    try:
        return all(waiting() for _ in range(50))
    except OSError:
        return False


@pytest.mark.ours
def test_a_killed_feeder_is_started_again(engine: Engine, docker: Docker, name: str, port: int) -> None:
    with receiving(Receiver(listener(engine.network, port), fluentd)) as receiver:
        docker.ok("run", "-d", "-i", "--name", name, "--log-driver", "fluentd", "--log-opt",
                  f"fluentd-address=127.0.0.1:{port}", "busybox", "cat")
        docker.ok("exec", name, "sh", "-c", "echo one >/proc/1/fd/1")
        until(lambda: len(receiver.seen) == 1, "the first line arrives")
        (feeder,) = until(lambda: len(found := engine.pids("docker-log")) == 1 and found, "others' logs have ended")
        engine.kill(feeder)
        docker.ok("exec", name, "sh", "-c", "echo two >/proc/1/fd/1")
        until(lambda: len(receiver.seen) == 2, "the second arrives")
        engine.says(f"log process ended and is started again driver=fluentd pid={feeder}")
        docker.ok("rm", "-f", name)
    until(lambda: not engine.pids("docker-log"), "its process ends with the container")


@pytest.mark.ours
def test_logs_go_on_without_daemons(fresh: Callable[..., Engine], name: str, port: int) -> None:
    engine = fresh()
    with receiving(Receiver(listener(engine.network, port), fluentd)) as receiver:
        engine.docker.ok("run", "-d", "--name", name, "--log-driver", "fluentd", "--log-opt",
                         f"fluentd-address=127.0.0.1:{port}", "busybox", "sh", "-c",
                         "while :; do echo tick; sleep 0.1; done")
        containerd = engine.containerd()
        engine.kill()
        engine.kill(containerd)
        before = len(receiver.seen)
        until(lambda: len(receiver.seen) > before + 5, "lines go on arriving")
        engine.start()
        seen = len(receiver.seen)
        until(lambda: engine.docker.ok("logs", name).count("tick") >= seen, "the copy has what was sent")
        engine.docker.ok("rm", "-f", name)
    assert engine.stop() == 0 and not engine.remains()


# dual logging


def test_copies_may_be_left_out(engine: Engine, docker: Docker, name: str, tmp_path: Path) -> None:
    with receiving(Receiver(unix_listener(tmp_path / "socket"), fluentd)):
        address = ("--log-driver", "fluentd", "--log-opt", f"fluentd-address=unix://{tmp_path}/socket")
        docker("run", "--name", name, *address, *BOTH)
        docker("run", "--name", f"{name}-dark", *address, "--log-opt", "cache-disabled=true", *BOTH)
        result = docker("logs", name)  # Debian's wants to reach the sink even now
        said = docker.fails("logs", f"{name}-dark")
    assert (result.out, result.err) == ("out\n", "err\n")
    assert (directory(engine, docker, name) / "container-cached.log").exists()
    assert "configured logging driver does not support reading" in said
    assert not (directory(engine, docker, f"{name}-dark") / "container-cached.log").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("syslog", "syslog-facility=kitchen"), "invalid syslog facility"),
        (("gelf", "tag=x"), "gelf-address is a required parameter"),
        (("journald", "max-size=1m"), "unknown log opt 'max-size' for journald log driver"),
        (("fluentd", "mode=sideways"), "logger: logging mode not supported: sideways"),
        (("papyrus", "tag=x"), 'error looking up logging plugin papyrus: plugin "papyrus" not found'),
    ],
)
def test_bad_options_refuse_the_container(docker: Docker, words: tuple[str, str], text: str) -> None:
    assert text in docker.fails("create", "--log-driver", words[0], "--log-opt", words[1], "busybox")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("json-file", "max-size=1x"), "invalid size: '1x'"),
        (("json-file", "compress=true"), "compress cannot be true when max-file is less than 2 or max-size is not set"),
        (("json-file", "tag={{"), "template: log-tag:1: unclosed action"),
        (("json-file", "labels-regex=("), "error parsing regexp: missing "),
        (("local", "max-size=1x"), "invalid value for max-size: 1x: invalid size: '1x'"),
    ],
)
def test_values_refuse_the_start(docker: Docker, name: str, words: tuple[str, str], text: str) -> None:
    """The container is there, and shows why it did not start."""
    driver, option = words
    said = docker.fails("run", "--name", name, "--log-driver", driver, "--log-opt", option, "busybox", code=125)
    before = "" if REFERENCE else "failed to create task for container: "
    told = f"{before}failed to initialize logging driver: {text}"
    assert f"Error response from daemon: {told}" in said
    state = json.loads(docker.inspect(name, "{{json .State}}"))
    assert (state["Status"], state["ExitCode"]) == ("created", 128) and state["Error"].startswith(told)


# the daemon's defaults


@pytest.mark.ours  # Debian's looks for a plugin for a long time
def test_daemons_options_are_checked_at_its_start(fresh: Callable[..., Engine]) -> None:
    engine = fresh(start=False)
    for flags, text in (
        (("--log-driver", "papyrus"), "failed to set log opts: error looking up logging plugin papyrus"),
        (("--log-driver", "gelf"), "failed to set log opts: gelf-address is a required parameter"),
        (("--log-opt", "colour=red"), "failed to set log opts: unknown log opt 'colour' for json-file log driver"),
    ):
        code, said = engine.fails_to_start(*flags)
        assert code == 1 and text in said


def test_daemons_driver_is_every_containers(fresh: Callable[..., Engine], tmp_path: Path, name: str, port: int) -> None:
    config = tmp_path / "daemon.json"
    address = f"tcp://127.0.0.1:{port}"
    config.write_text(json.dumps(
        {"log-driver": "syslog", "log-opts": {"syslog-address": address, "cache-disabled": "true"}}))
    engine = fresh("--config-file", str(config))
    rsyslog = Rsyslog(tmp_path, engine.network, port).start()
    try:
        docker = engine.docker
        assert docker.ok("info", "-f", "{{.LoggingDriver}}").strip() == "syslog"
        docker("run", "--name", name, *BOTH)
        until(lambda: len(rsyslog.lines()) == 2, "both lines arrive")
        given = json.loads(docker.inspect(name, "{{json .HostConfig.LogConfig}}"))
        assert given == {"Type": "syslog", "Config": {"syslog-address": address, "cache-disabled": "true"}}
        docker("run", "--name", f"{name}-2", "--log-driver", "json-file", *BOTH)
        other = json.loads(docker.inspect(f"{name}-2", "{{json .HostConfig.LogConfig}}"))
        assert other["Type"] == "json-file" and "syslog-address" not in other["Config"]
    finally:
        rsyslog.stop()
