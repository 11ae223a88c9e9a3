import pytest

from protos.proxies import Proxies, told
from services.dockerd import flags, proxies

NAMES = [name for each in ("http_proxy", "https_proxy", "no_proxy") for name in (each, each.upper())]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")


def test_the_environments_hold_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://low:1")
    assert told() == Proxies("", "http://low:1", "")


def test_what_is_given_replaces_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://old:1")
    monkeypatch.setenv("NO_PROXY", "kept")
    proxies.export("http://new:2", "", "")
    assert told() == Proxies("http://new:2", "", "kept")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@h:1/x@y", "http://xxxxx:xxxxx@h:1/x@y"), ("http://u@h", "http://xxxxx:xxxxx@h"),
        ("http://h:1", "http://h:1"), ("u:p@h", "xxxxx:xxxxx@h"), ("", ""),
    ],
)
def test_credentials_are_masked(url: str, shown: str) -> None:
    assert flags.masked(url) == shown
