"""The proxies that dockerd and all below it go out through: the environment's, or what --http-proxy and others name."""

import os


def export(http: str, https: str, none: str) -> None:
    """Put what was given into the environment, where every client of ours looks (protos/proxies.py); "" leaves it."""
    for name, value in (("http_proxy", http), ("https_proxy", https), ("no_proxy", none)):
        if value:
            os.environ[name] = os.environ[name.upper()] = value
