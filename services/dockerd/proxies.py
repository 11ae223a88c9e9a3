"""The proxies that dockerd goes out through: the environment's, which --http-proxy and its likes replace."""

import os


def export(http: str, https: str, none: str) -> None:
    """Put what was given into the environment, where every client of ours looks; "" leaves it."""
    for name, value in (("http_proxy", http), ("https_proxy", https), ("no_proxy", none)):
        if value:
            os.environ[name] = os.environ[name.upper()] = value


def http() -> str:
    return _of("HTTP_PROXY")


def https() -> str:
    return _of("HTTPS_PROXY")


def none() -> str:
    return _of("NO_PROXY")


def _of(name: str) -> str:
    return os.environ.get(name) or os.environ.get(name.lower(), "")
