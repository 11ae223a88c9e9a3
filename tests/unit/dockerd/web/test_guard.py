"""What a browser sends for a web page, and what clients send."""

import pytest

from services.dockerd.web import guard
from services.dockerd.web.guard import Guard

GUARD = Guard(("Build.Example.com", "box"), secure=False)


def headers(**named: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in named.items()]


@pytest.mark.parametrize(
    "host",
    ["", "127.0.0.1:2375", "10.0.0.7", "[::1]:2375", "[fe80::1%eth0]:2375", "localhost:2375", "box", "docker:2375",
     "build.example.com:2375", "BUILD.example.com.", "x.localhost", "engine.svc.cluster.local", "host.docker.internal"],
)
def test_a_client_is_served(host: str) -> None:
    assert GUARD.refusal(headers(host=host, user_agent="Docker-Client/28.2.2 (linux)")) == ""


@pytest.mark.parametrize("host", ["evil.example:2375", "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3"])
def test_a_rebound_name_is_refused(host: str) -> None:
    assert "this machine is not known as" in GUARD.refusal(headers(host=host))
    assert Guard((), secure=True).refusal(headers(host=host)) == ""


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:8080", "https://127.0.0.1", "http://localhost:2375", "http://["],
)
def test_another_pages_request_is_refused(origin: str) -> None:
    for secure in (False, True):
        refusal = Guard((), secure=secure).refusal(headers(host="127.0.0.1:2375", origin=origin))
        assert refusal == f"requests from the web page {origin} are refused"


def test_a_page_of_ours_is_served() -> None:
    assert GUARD.refusal(headers(host="127.0.0.1:2375", origin="http://127.0.0.1:2375")) == ""
    assert GUARD.refusal(headers(host="127.0.0.1:2375", sec_fetch_site="same-origin")) == ""


def test_what_the_browser_calls_foreign_is_refused() -> None:
    for word in ("cross-site", "same-site"):
        assert GUARD.refusal(headers(host="127.0.0.1:2375", sec_fetch_site=word))


def test_two_hosts_are_refused() -> None:
    assert GUARD.refusal([*headers(host="127.0.0.1"), *headers(host="evil.example")])


def test_a_site_can_be_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.TRUSTED, "Ui.example.com, other.example.com")
    made = Guard(guard.names(()), secure=False)
    foreign = headers(host="10.0.0.1:2375", origin="https://ui.example.com", sec_fetch_site="cross-site")
    assert made.refusal(foreign) == ""
    assert made.refusal(headers(host="ui.example.com:2375")) == ""
    assert made.refusal(headers(host="10.0.0.1:2375", origin="https://evil.example.com"))


def test_names_come_from_where_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(guard.TRUSTED, "engine.example.com,other.example.com")
    found = set(guard.names(("bound.example.com",)))
    assert {"bound.example.com", "engine.example.com", "other.example.com"} <= found
