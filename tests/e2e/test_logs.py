"""`docker logs`, and the json-file behind it."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from tests.harness.cli import Docker, end
from tests.harness.http import API, demultiplex, joined
from tests.harness.wait import until

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")
FIVE = ("busybox", "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done")


def test_both_streams_are_kept(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2")
    result = docker("logs", name)
    assert (result.out, result.err) == ("out\n", "err\n")


def test_stamps(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "echo", "hi")
    stamp, text = docker.ok("logs", "-t", name).split(" ")
    assert STAMP.fullmatch(stamp) and text == "hi"


def test_tail(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "seq", "1", "3000")
    assert docker.ok("logs", "--tail", "3", name).split() == ["2998", "2999", "3000"]
    assert docker.ok("logs", "--tail", "0", name) == ""
    assert len(docker.ok("logs", "--tail", "all", name).split()) == 3000
    assert len(docker.ok("logs", "-n", "2500", name).split()) == 2500


def test_since_and_until(docker: Docker, name: str) -> None:
    docker("run", "--name", name, *FIVE)
    stamps = [line.split(" ")[0] for line in docker.ok("logs", "-t", name).splitlines()]
    assert docker.ok("logs", "--since", stamps[3], name).splitlines() == ["line 4", "line 5"]
    second, third = (datetime.fromisoformat(stamp[:26]) for stamp in stamps[1:3])
    between = (second + (third - second) / 2).isoformat() + "Z"
    assert docker.ok("logs", "--until", between, name).splitlines() == ["line 1", "line 2"]
    assert docker.ok("logs", "--since", "1h", name).count("line") == 5


def test_follow_ends_with_the_container(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, *FIVE)
    assert docker.ok("logs", "-f", name).splitlines() == [f"line {i}" for i in range(1, 6)]


def test_follow_shows_lines_as_they_come(docker: Docker, name: str) -> None:
    docker.ok(
        "run",
        "-d",
        "--name",
        name,
        *("busybox", "sh", "-c", "echo one; while [ ! -e /go ]; do sleep 0.05; done; echo two; sleep 60"),
    )
    child = docker.start("logs", "-f", name)
    try:
        assert child.stdout and child.stdout.readline() == b"one\n"
        docker.ok("exec", name, "touch", "/go")
        assert child.stdout.readline() == b"two\n"
    finally:
        end(child)


def test_follow_from_the_tail(docker: Docker, name: str) -> None:
    docker.ok("run", "-d", "--name", name, *FIVE)
    docker.ok("wait", name)
    assert docker.ok("logs", "-f", "--tail", "2", name).splitlines() == ["line 4", "line 5"]


def test_logs_grow_over_restarts(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "echo", "again")
    docker("start", "-a", name)
    assert docker.ok("logs", name).splitlines() == ["again", "again"]


def test_a_terminals_logs_are_raw(docker: Docker, name: str) -> None:
    docker("run", "-t", "--name", name, "busybox", "sh", "-c", "echo out; echo err >&2")
    assert docker("logs", name).stdout == b"out\r\nerr\r\n"


def test_a_line_without_end_is_kept(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "printf", "no end")
    assert docker("logs", name).stdout == b"no end"


def test_long_lines_come_back_whole(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "sh", "-c", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo short")
    assert docker("logs", name).out == "x" * 100_000 + "\nshort\n"


def test_bytes_that_are_no_text(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "printf", r"caf\303\251 <&> \t\033[1m\n")
    assert docker("logs", name).stdout == b"caf\xc3\xa9 <&> \t\x1b[1m\n"


def test_the_file_is_dockers(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "sh", "-c", "echo 'a <b> & \"c\"'; echo err >&2")
    path = Path(docker.inspect(name, "{{.LogPath}}"))
    container = docker.inspect(name, "{{.Id}}")
    assert path.name == f"{container}-json.log" and path.parent.name == container
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [list(record) for record in records] == [["log", "stream", "time"]] * 2
    assert {(record["log"], record["stream"]) for record in records} == {
        ('a <b> & "c"\n', "stdout"),
        ("err\n", "stderr"),
    }
    assert all(datetime.fromisoformat(record["time"][:19]) and record["time"].endswith("Z") for record in records)
    assert "\\u003cb\\u003e \\u0026" in path.read_text()


def test_lines_are_cut_at_16_kib_in_the_file(docker: Docker, name: str) -> None:
    docker("run", "--name", name, "busybox", "sh", "-c", "head -c 40000 /dev/zero | tr '\\0' x; echo")
    path = Path(docker.inspect(name, "{{.LogPath}}"))
    lengths = [len(json.loads(line)["log"]) for line in path.read_text().splitlines()]
    assert lengths == [16384, 16384, 40000 - 2 * 16384 + 1]


def test_rotation(docker: Docker, name: str) -> None:
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3")
    docker("run", "--name", name, *options, "busybox", "seq", "1", "2000")
    path = Path(docker.inspect(name, "{{.LogPath}}"))
    files = sorted(path.parent.glob("*-json.log*"))
    assert [file.name.removeprefix(path.name) for file in files] == ["", ".1", ".2"]
    numbers = [int(line) for line in docker.ok("logs", name).split()]
    assert numbers == list(range(numbers[0], 2001)) and len(numbers) > 400
    assert [int(line) for line in docker.ok("logs", "--tail", "600", name).split()] == list(range(1401, 2001))


def test_compressed_rotation(docker: Docker, name: str) -> None:
    options = ("--log-opt", "max-size=20k", "--log-opt", "max-file=3", "--log-opt", "compress=true")
    docker("run", "--name", name, *options, "busybox", "sh", "-c", "seq 1 2000; sleep 1")
    path = Path(docker.inspect(name, "{{.LogPath}}"))
    wanted = [f"{path.name}{end}" for end in ("", ".1.gz", ".2.gz")]
    until(lambda: sorted(file.name for file in path.parent.glob("*-json.log*")) == wanted, "two compressed files")
    numbers = [int(line) for line in docker.ok("logs", name).split()]
    assert numbers == list(range(numbers[0], 2001)) and len(numbers) > 400


@pytest.mark.ours
def test_follow_survives_rotation(docker: Docker, name: str) -> None:
    options = ("--log-opt", "max-size=50k", "--log-opt", "max-file=12")  # of which 9 are begun: whoever lags finds all
    script = "i=0; while [ $i -lt 6000 ]; do i=$((i+1)); echo $i; [ $((i % 100)) = 0 ] && sleep 0.01; done"
    docker.ok("run", "-d", "--name", name, *options, "busybox", "sh", "-c", script)
    numbers = [int(line) for line in docker.ok("logs", "-f", name, timeout=60).split()]
    assert numbers == list(range(1, 6001))


def test_labels_and_env_beside_lines(docker: Docker, name: str) -> None:
    options = ("--log-opt", "labels=team", "--log-opt", "env=STAGE", "-l", "team=blue", "-e", "STAGE=test")
    docker("run", "--name", name, *options, "busybox", "echo", "hi")
    record = json.loads(Path(docker.inspect(name, "{{.LogPath}}")).read_text())
    assert record["attrs"] == {"STAGE": "test", "team": "blue"}
    assert docker.ok("logs", "--details", name).endswith("STAGE=test,team=blue hi")


def test_logs_of_nothing(docker: Docker) -> None:
    assert "No such container: not-there" in docker.fails("logs", "not-there", code=1)


def test_no_stream_chosen(api: API) -> None:
    box = api.create("true")
    reply = api("GET", f"/containers/{box}/logs")
    assert (reply.status, reply.message) == (400, "Bad parameters: you must choose at least one stream")


@pytest.mark.parametrize("query", [{"since": "yesterday"}, {"until": "x"}])
def test_bad_times_are_refused(api: API, query: dict[str, str]) -> None:
    box = api.create("true")
    assert api("GET", f"/containers/{box}/logs", stdout=1, **query).status in (400, 500)  # type: ignore[arg-type]


def test_one_stream_only(api: API) -> None:
    box = api.create("sh", "-c", "echo out; echo err >&2")
    api.start(box)
    api("POST", f"/containers/{box}/wait")
    assert list(demultiplex(api("GET", f"/containers/{box}/logs", stderr=1).body)) == [(2, b"err\n")]
    assert joined(demultiplex(api("GET", f"/containers/{box}/logs", stdout=1).body), 1) == b"out\n"


def test_following_is_chunked(api: API) -> None:
    """docker-py takes what is not chunked for an error that came at once."""
    box = api.create("sh", "-c", "echo out; sleep 60")
    api.start(box)
    with api.stream("GET", f"/containers/{box}/logs", stdout=1, follow=1) as stream:
        assert "transfer-encoding: chunked" in stream.head.lower()
        assert b"out\n" in stream.until(b"out\n")
