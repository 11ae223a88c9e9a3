import pytest

from services.dockerd.web import fast, heads
from services.dockerd.web.fast import Fast


def made() -> Fast:
    return Fast(heads.common("test"))


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("/info", ((1, 51), "/info")),
        ("/v1.24/info", ((1, 24), "/info")),
        ("/v1.51/info", ((1, 51), "/info")),
        ("/v1.52/info", (None, "/info")),
        ("/v1.23/info", (None, "/info")),
        ("/v1.x/info", (None, "/v1.x/info")),
        ("/v1.41", (None, "/v1.41")),
        ("/v1.9999/info", (None, "/v1.9999/info")),
        ("/volumes", ((1, 51), "/volumes")),
    ],
)
def test_version_is_split_off(path: str, split: object) -> None:
    assert fast.split(path) == split


def test_ping_has_every_header() -> None:
    answer = made().find(b"GET", b"/_ping")
    assert answer
    head, _, body = (answer() or b"").partition(b"\r\n\r\n")
    assert body == b"OK"
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert set(lines) > {
        "Api-Version: 1.51", "Builder-Version: 1", "Cache-Control: no-cache, no-store, must-revalidate",
        "Content-Length: 2", "Content-Type: text/plain; charset=utf-8", "Docker-Experimental: false", "Ostype: linux",
        "Pragma: no-cache", "Server: Docker/test (linux)", "Swarm: inactive",
    }


def test_head_of_ping_has_no_body() -> None:
    answer = made().find(b"HEAD", b"/v1.40/_ping")
    assert answer
    assert b"Content-Length: 0\r\n" in (answer() or b"")


@pytest.mark.parametrize(
    ("method", "target"),
    [(b"POST", b"/_ping"), (b"GET", b"/v1.99/_ping"), (b"GET", b"/info"), (b"HEAD", b"/containers/json")],
)
def test_others_are_left_to_the_router(method: bytes, target: bytes) -> None:
    served = made()
    served.sources["/containers/json"] = lambda version, query: b"[]"
    assert served.find(method, target) is None


def test_source_is_asked_each_time() -> None:
    served, asked = made(), []
    served.sources["/x"] = lambda version, query: asked.append((version, query)) or b"[]"
    answer = served.find(b"GET", b"/v1.30/x?a=1")
    assert answer
    for _ in range(2):
        reply = answer()
        assert reply and reply.endswith(b"\r\n\r\n[]")
    assert asked == [((1, 30), "a=1")] * 2


def test_memory_of_requests_is_bounded() -> None:
    served = made()
    for number in range(3 * fast.REMEMBERED):
        served.remember(b"%d" % number, lambda: b"")
    served.remember(b"x" * (fast.MAX_REMEMBERED_SIZE + 1), lambda: b"")
    assert len(served.known) <= fast.REMEMBERED
