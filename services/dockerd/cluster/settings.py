"""--cluster-store, --cluster-advertise and --cluster-store-opt as Docker 1.12 to 20.10 read them.

The key-value store that networks across hosts are kept in. Nothing here speaks to it.
"""

import ipaddress
import os
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from protos.errdefs import InvalidArgument

SCHEMES: Final = ("consul", "etcd", "zk")
SIOCGIFADDR: Final = 0x8915
_FILES: Final = ("kv.cacertfile", "kv.certfile", "kv.keyfile")
_TIMES: Final = ("discovery.heartbeat", "discovery.ttl")


@dataclass(frozen=True, slots=True)
class Store:
    scheme: str
    hosts: tuple[str, ...]
    prefix: str = ""


def parse(url: str) -> Store:
    """`etcd://host:2379,host:2379/prefix`."""
    parts = url.split("://")
    if len(parts) != 2 or not parts[1]:
        raise InvalidArgument("kv store daemon config must be of the form KV-PROVIDER://KV-URL")
    scheme, rest = parts
    if scheme not in SCHEMES:
        raise InvalidArgument(f"discovery initialization failed (discovery service not supported): {url}")
    hosts, _, prefix = rest.partition("/")
    return Store(scheme, tuple(hosts.split(",")), prefix)


def check(store: str, advertise: str, options: Mapping[str, str]) -> None:
    """InvalidArgument for what Docker would refuse."""
    if advertise and not store:
        raise InvalidArgument(
            "invalid cluster configuration. --cluster-advertise must be accompanied by --cluster-store configuration"
        )
    if store:
        parse(store)
    if advertise:
        split(advertise)
    _options(options)


def _options(options: Mapping[str, str]) -> None:
    times = [_seconds(name, options.get(name)) for name in _TIMES]
    if times[0] and times[1] and times[1] <= times[0]:
        raise InvalidArgument(_failed("discovery.ttl timer must be greater than discovery.heartbeat"))
    given = [options[name] for name in _FILES if options.get(name)]
    if len(given) == len(_FILES):
        for path in given:
            if not os.path.isfile(path):  # noqa: PTH113 - pathlib's costs a start more
                raise InvalidArgument(_failed(f"open {path}: no such file or directory"))


def _seconds(name: str, text: str | None) -> int:
    if text is None:
        return 0
    try:
        seconds = int(text)
    except ValueError:
        raise InvalidArgument(_failed(f'strconv.Atoi: parsing "{text}": invalid syntax')) from None
    if seconds <= 0:
        raise InvalidArgument(_failed(f"{name} must be positive"))
    return seconds


def _failed(problem: str) -> str:
    return f"discovery initialization failed ({problem})"


def advertised(advertise: str) -> str:
    """`address:port`, where what was given may name an interface; InvalidArgument where that has no address."""
    import fcntl  # few need it

    host, port = split(advertise)
    if _is_address(host):
        return advertise
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking, SIOCGIFADDR, struct.pack("16s16x", os.fsencode(host[:15])))
        except OSError as error:
            raise InvalidArgument(
                f"invalid cluster advertise IP address or interface name ({advertise}): {error.strerror}"
            ) from error
    return f"{socket.inet_ntoa(answer[20:24])}:{port}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def split(advertise: str) -> tuple[str, str]:
    """Host or interface, and port."""
    host, colon, port = advertise.rpartition(":")
    if not colon or not port or (":" in host and not host.startswith("[")):
        problem = "missing port in address" if not port or not colon else "too many colons in address"
        raise InvalidArgument(
            f"discovery advertise parsing failed: invalid --cluster-advertise configuration: {advertise}: "
            f"address {advertise}: {problem}"
        )
    return host.strip("[]"), port
