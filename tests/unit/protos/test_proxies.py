"""Which requests go through a proxy."""

import pytest

from protos.proxies import Proxies


@pytest.mark.parametrize(
    ("exempt", "host", "through"),
    [
        ("", "example.com", True),
        ("example.com", "example.com", False),
        ("example.com", "a.example.com", False),
        ("example.com", "badexample.com", True),
        (".example.com", "a.example.com", False),
        (".example.com", "example.com", True),
        ("*.example.com", "a.example.com", False),
        ("example.com:8080", "example.com:8080", False),
        ("example.com:8080", "example.com:5000", True),
        ("10.0.0.0/8", "10.1.2.3:5000", False),
        ("10.0.0.0/8", "11.1.2.3:5000", True),
        ("10.1.2.3", "10.1.2.3:5000", False),
        ("*", "example.com", False),
        (" a , example.com ", "example.com", False),
        ("10.0.0.0/nonsense", "10.1.2.3", True),
        ("", "127.0.0.1:5000", False),
        ("", "localhost:5000", False),
        ("", "[::1]:5000", False),
        ("fd00::/8", "[fd00::1]:5000", False),
    ],
)
def test_who_is_exempt(exempt: str, host: str, through: bool) -> None:
    assert bool(Proxies("http://p:3128", "http://p:3128", exempt).of("https", host)) is through


def test_each_scheme_has_its_own() -> None:
    proxies = Proxies("plain:1", "https://secure:2")
    assert proxies.of("http", "a") == "http://plain:1" and proxies.of("https", "a") == "https://secure:2"
    assert Proxies("plain:1").of("https", "a") == ""
