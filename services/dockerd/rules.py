"""What holds between dockerd's options, and within one beyond its own grammar (pure); texts are Docker's."""

import os
from collections.abc import Mapping
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from protos.errdefs import EngineError, InvalidArgument
from services.dockerd.cluster import settings
from services.dockerd.flags import RUNC_SHIM
from services.dockerd.logger import options as logs
from services.dockerd.network.drivers import default
from services.dockerd.release import NEWEST, OLDEST, Version

if TYPE_CHECKING:
    from services.dockerd.config import Config, Runtime

MAX_SOCKET_PATH: Final = 107
"""Bytes of sun_path without its final zero."""
RUNC_OPTIONS: Final[dict[str, tuple[str, type]]] = {
    "BinaryName": ("binary_name", str), "Root": ("root", str), "SystemdCgroup": ("systemd_cgroup", bool),
    "NoPivotRoot": ("no_pivot_root", bool), "NoNewKeyring": ("no_new_keyring", bool),
}
"""Of containerd.runc.v1.Options."""
_SHIM_OPTIONS: Final[dict[str, tuple[str, type]]] = {
    "TypeUrl": ("type_url", str), "ConfigPath": ("config_path", str), "ConfigBody": ("config_body", str),
}
"""Of runtimeoptions.v1.Options, which any other shim gets."""
LEVELS: Final = ("panic", "fatal", "error", "warn", "info", "debug", "trace")


def check(config: "Config") -> None:
    """InvalidArgument with the first thing that cannot be."""
    _modes(config)
    _log(config)
    _numbers(config)
    _labels(config.labels)
    _runtimes(config.runtimes, config.default_runtime)
    api_version(config.min_api_version)
    if config.metrics_addr:
        endpoint(config.metrics_addr)
    settings.check(config.cluster_store, config.cluster_advertise, config.cluster_store_opts)
    _network(config)
    _socket_length(config)


def _modes(config: "Config") -> None:
    if config.log_level not in LEVELS:
        raise InvalidArgument(f"invalid logging level: {config.log_level}")
    if config.log_format not in ("text", "json"):
        raise InvalidArgument(f"invalid log format: {config.log_format}")
    if config.default_cgroupns_mode not in ("", "host", "private"):
        mode = config.default_cgroupns_mode
        raise InvalidArgument(f'default cgroup namespace mode ({mode}) is invalid; use "host" or "private"')
    if config.default_ipc_mode not in ("shareable", "private"):
        mode = config.default_ipc_mode
        raise InvalidArgument(f'default IPC mode setting ({mode}) is invalid; use "shareable" or "private"')


def _log(config: "Config") -> None:
    try:
        logs.check(config.log_driver, config.log_opts)
        logs.initialize(config.log_driver, config.log_opts)
    except EngineError as error:
        raise type(error)(f"failed to set log opts: {error}") from error


def _numbers(config: "Config") -> None:
    numbers = {
        "default MTU": config.mtu,
        "max concurrent downloads": config.max_concurrent_downloads,
        "max concurrent uploads": config.max_concurrent_uploads,
        "max download attempts": config.max_download_attempts,
    }
    for name, number in numbers.items():
        if number < 0:
            raise InvalidArgument(f"invalid {name}: {number}")
    if config.mtu and not 68 <= config.mtu <= 65535:
        raise InvalidArgument(f"invalid default MTU: {config.mtu}: a bridge has between 68 and 65535")
    if not -1000 <= config.oom_score_adjust <= 1000:
        raise InvalidArgument(f"invalid oom score: {config.oom_score_adjust}: it is between -1000 and 1000")


def _labels(labels: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(label.partition("=")[0], label)
        if other != label:
            raise InvalidArgument(f"conflict labels for {label} and {other}")


def _runtimes(runtimes: Mapping[str, "Runtime"], default: str) -> None:
    for name, runtime in runtimes.items():
        problem = _runtime(runtime)
        if problem:
            raise InvalidArgument(f"runtime {name}: {problem}")
    if default not in runtimes and not implicit(default):
        raise InvalidArgument(f"specified default runtime '{default}' does not exist")


def _runtime(runtime: "Runtime") -> str:
    if not runtime.path and not runtime.type:
        return "either a runtimeType or a path must be configured"
    if runtime.path and runtime.type:
        return "cannot configure both path and runtimeType for the same runtime"
    if runtime.path and runtime.options:
        return "options cannot be used with a path runtime"
    if runtime.type and runtime.args:
        return "args cannot be used with a runtimeType runtime"
    known = shim_options(runtime.type)
    if unknown := sorted(runtime.options.keys() - known.keys()):
        return f"options has no {', '.join(unknown)}: there are {', '.join(sorted(known))}"
    for name, value in runtime.options.items():
        kind = known[name][1]
        if type(value) is not kind:
            return f"options.{name} must be a {'boolean' if kind is bool else 'string'}"
    return ""


def shim_options(kind: str) -> dict[str, tuple[str, type]]:
    """The `options` of a runtime whose shim is of this type: by name the field of its message, and the value's type."""
    return RUNC_OPTIONS if kind == RUNC_SHIM else _SHIM_OPTIONS


def implicit(name: str) -> bool:
    """Whether a runtime that nobody configured may be the type of a containerd shim, such as io.containerd.runc.v2."""
    return "/" not in name and not name.startswith(".") and len([part for part in name.split(".") if part]) > 1


def api_version(text: str) -> Version:
    """The lowest version to serve; "" is the lowest there is."""
    if not text:
        return OLDEST
    if text[0] in "vV":
        raise InvalidArgument('API version must be provided without "v" prefix')
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise InvalidArgument(f"invalid API version: {text}")
    version = int(major), int(minor)
    if version < OLDEST:
        raise InvalidArgument(f"minimum supported API version is {OLDEST[0]}.{OLDEST[1]}: {text}")
    if version > NEWEST:
        raise InvalidArgument(f"maximum supported API version is {NEWEST[0]}.{NEWEST[1]}: {text}")
    return version


def endpoint(address: str) -> tuple[str, int]:
    """Host and port of --metrics-addr; "" is every address."""
    host, colon, port = address.rpartition(":")
    if not colon or (":" in host and not (host.startswith("[") and host.endswith("]"))):
        problem = "too many colons in address" if colon else "missing port in address"
        raise InvalidArgument(f"failed to start metrics server: listen tcp: address {address}: {problem}")
    if not port.isdecimal() or int(port) > 65535:
        raise InvalidArgument(f"failed to start metrics server: listen tcp: address {address}: invalid port")
    return host.strip("[]"), int(port)


def _network(config: "Config") -> None:
    if config.bridge and config.bip:
        raise InvalidArgument("You specified -b & --bip, mutually exclusive options. Please specify only one")
    if config.bridge and config.bip6:
        raise InvalidArgument("You specified -b & --bip6, mutually exclusive options. Please specify only one")
    if config.firewall_backend not in ("", "iptables"):
        raise InvalidArgument(_backend(config.firewall_backend))
    for version in (4, 6):
        if sum(ip_address(each).version == version for each in config.host_gateway_ips) > 1:
            raise InvalidArgument(f"only one IPv{version} host gateway IP address can be specified")
    default.check(config.network)
    if not config.iptables and not config.icc:
        raise InvalidArgument(
            "You specified --iptables=false with --icc=false. ICC=false uses iptables to function. "
            "Please set --icc or --iptables to true"
        )


def _backend(name: str) -> str:
    if name != "nftables":
        return f'invalid firewall-backend "{name}"; use "iptables"'
    return (
        "firewall-backend nftables is not supported: rules are made by iptables, whose variant iptables-nft brings "
        "them into nf_tables as well"
    )


def _socket_length(config: "Config") -> None:
    # streams/ and containerd's own sockets are at most 40 bytes below the exec root.
    room = MAX_SOCKET_PATH - 40
    if len(os.fsencode(config.exec_root)) > room:
        raise InvalidArgument(
            f"exec root {config.exec_root} is longer than {room} bytes, so that the sockets beneath it would be longer "
            f"than the {MAX_SOCKET_PATH} a unix socket may have: choose a shorter --exec-root"
        )
