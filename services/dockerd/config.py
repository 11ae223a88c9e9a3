"""What dockerd is told: flags over daemon.json over defaults, one frozen Config. Mirrors Docker's rules for both.

An option given in both places is an error; what is not there yet is refused by options.py, never ignored.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd import flags, hosts
from services.dockerd.options import OPTIONS, Option

if TYPE_CHECKING:
    from services.dockerd.network.config import NetworkConfig

VERSION: Final = "28.3.0+py0.1.0"
"""The Docker release whose API this is, as clients gate on it, and our own behind the plus."""

BUILD: Final = "unknown"

DEFAULT_FILE: Final = "/etc/docker/daemon.json"
DEFAULT_HOST: Final = "unix:///var/run/docker.sock"
MAX_SOCKET_PATH: Final = 107
"""Bytes of sun_path without its final zero."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """An OCI runtime: the program's path or name, or a containerd shim's type such as io.containerd.kata.v2."""

    path: str = ""
    args: tuple[str, ...] = ()
    type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Config:
    """One field per option of options.py, under the option's name with underscores."""

    hosts: tuple[str, ...] = (DEFAULT_HOST,)
    data_root: Path = Path("/var/lib/docker")
    exec_root: Path = Path("/var/run/docker")
    tls: bool | None = None
    tlsverify: bool | None = None
    """None where it was not given: given at all, it means TLS."""
    tlscacert: str = ""
    tlscert: str = ""
    tlskey: str = ""
    """"" is ca.pem, cert.pem or key.pem in ~/.docker."""
    pidfile: str = "/var/run/docker.pid"
    group: str = "docker"
    debug: bool = False
    log_level: str = "info"
    labels: tuple[str, ...] = ()
    live_restore: bool = False
    shutdown_timeout: int = 15
    """Seconds that containers without a StopTimeout of their own get at the daemon's end; -1 is no limit."""
    containerd: str = ""
    """Address of a containerd that runs already; "" starts docker-containerd."""
    containerd_namespace: str = "moby"
    storage_driver: str = ""
    """"" chooses overlay2."""
    runtimes: Mapping[str, Runtime] = field(default_factory=lambda: {"runc": Runtime("runc")})
    default_runtime: str = "runc"
    default_shm_size: int = 64 << 20
    default_ulimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Name to (soft, hard)."""
    default_cgroupns_mode: str = ""
    """"host" or "private"; "" is private with cgroup v2, host with v1."""
    default_ipc_mode: str = "private"
    cgroup_parent: str = ""
    init: bool = False
    init_path: str = ""
    """"" finds docker-init in PATH."""
    seccomp_profile: str = ""
    """A file, `builtin` or `unconfined`; "" is builtin."""
    no_new_privileges: bool = False
    log_driver: str = "json-file"
    log_opts: Mapping[str, str] = field(default_factory=dict)
    insecure_registries: tuple[str, ...] = ()
    registry_mirrors: tuple[str, ...] = ()
    max_concurrent_downloads: int = 3
    max_concurrent_uploads: int = 5
    max_download_attempts: int = 5
    oom_score_adjust: int = 0
    bridge: str = ""
    bip: str = ""
    fixed_cidr: str = ""
    default_gateway: str = ""
    default_address_pools: tuple[tuple[str, int], ...] = ()
    dns: tuple[str, ...] = ()
    dns_opts: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    icc: bool = True
    ip: str = ""
    ip_forward: bool = True
    ip_masq: bool = True
    iptables: bool = True
    mtu: int = 0
    host_gateway_ip: str = ""
    userland_proxy: bool = True
    userland_proxy_path: str = ""

    @property
    def secure(self) -> bool:
        """Whether tcp:// speaks TLS: --tls, or --tlsverify whatever its value."""
        return self.tlsverify is not None or bool(self.tls)

    @property
    def verifies(self) -> bool:
        """Whether clients must show a certificate of our authority: with TLS always, unless --tlsverify=false."""
        return self.secure and self.tlsverify is not False

    @property
    def containerd_address(self) -> str:
        """Path of the gRPC socket that dockerd calls."""
        return self.containerd.removeprefix("unix://") or str(self.exec_root / "containerd" / "containerd.sock")

    @property
    def containerd_snapshotter(self) -> str:
        """containerd's name of the storage driver."""
        return {"": "overlayfs", "overlay2": "overlayfs", "vfs": "native"}.get(self.storage_driver, self.storage_driver)

    @property
    def network(self) -> "NetworkConfig":
        from services.dockerd.network.config import NetworkConfig  # not needed by --validate and --version

        names = {each.name for each in fields(NetworkConfig)} & {each.name for each in fields(Config)}
        return NetworkConfig(**{name: getattr(self, name) for name in names}, default_bind_ip=self.ip)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command line: the configuration, and what was asked beside running."""

    config: Config
    validate: bool = False
    version: bool = False
    help: bool = False


def parse(argv: list[str]) -> Invocation:
    """Read flags and file; InvalidArgument with the one line to print."""
    by_flag = {option.flag.name: option for option in OPTIONS}
    by_flag |= {alias: option for option in OPTIONS for alias in option.aliases}
    given = flags.parse({name: option.flag for name, option in by_flag.items()}, argv)
    asked = {name: bool(given.pop(name, False)) for name in ("validate", "version", "help")}
    if asked["version"] or asked["help"]:
        return Invocation(Config(), **asked)
    path = given.pop("config-file", None)
    config = _build(given, _file(path or DEFAULT_FILE, path is not None), path or DEFAULT_FILE)
    return Invocation(config, **asked)


def _file(path: str, required: bool) -> dict[str, Any]:
    try:
        text = Path(path).read_text()
    except FileNotFoundError:
        if required:
            raise _bad_file(path, f"open {path}: no such file or directory") from None
        return {}
    except OSError as error:
        raise _bad_file(path, f"open {path}: {error.strerror}") from error
    try:
        document = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise _bad_file(path, f"invalid JSON: {error}") from error
    if not isinstance(document, dict):
        raise _bad_file(path, "the file's content must be a JSON object")
    return document


def _bad_file(path: str, problem: str) -> InvalidArgument:
    return InvalidArgument(f"unable to configure the Docker daemon with file {path}: {problem}")


def _build(given: dict[str, Any], document: dict[str, Any], path: str) -> Config:
    keys = {option.key: option for option in OPTIONS if option.key}
    if unknown := [key for key in document if key not in keys]:
        raise _bad_file(path, f"the following directives don't match any configuration option: {', '.join(unknown)}")
    _conflicts(given, document, path)
    values: dict[Option, Any] = {}
    for key, value in document.items():
        try:
            values[keys[key]] = keys[key].from_json(value)
        except ValueError as error:
            raise _bad_file(path, f"{key}: {error}") from error
    for option in OPTIONS:
        if option.flag.name not in given:
            continue
        value = given[option.flag.name]
        # Only runtimes may stand in both places: those of the flags are added.
        values[option] = values.get(option, {}) | value if option.key == "runtimes" else value
    for option, value in values.items():
        option.refuse(value)
    config = Config(**{option.field: _frozen(option, value) for option, value in values.items() if option.field})
    config = replace(config, hosts=_hosts(config, any(option.field == "hosts" for option in values)))
    check(config, path)
    return config


def _conflicts(given: dict[str, Any], document: dict[str, Any], path: str) -> None:
    both = sorted(
        (option.key, f"{option.key}: (from flag: {flags.show(given[option.flag.name])},"
         f" from file: {flags.show(document[option.key])})")
        for option in OPTIONS
        if option.key in document and option.flag.name in given and option.key != "runtimes"
    )
    if both:
        listed = ", ".join(text for _, text in both)
        problem = f"the following directives are specified both as a flag and in the configuration file: {listed}"
        raise _bad_file(path, problem)


def _frozen(option: Option, value: Any) -> Any:
    if option.key == "runtimes":
        known = {"runc": Runtime("runc")}
        return known | {name: _runtime(each) for name, each in value.items()}
    if option.field == "data_root":
        return Path(value).resolve()
    if option.field == "exec_root":
        return Path(value).absolute()
    return tuple(value) if isinstance(value, list) else value


def _hosts(config: Config, given: bool) -> tuple[str, ...]:
    """Every address in full; with TLS the default is a port, as in Docker."""
    return tuple(str(hosts.parse(host, secure=config.secure)) for host in (config.hosts if given else ("",)))


def _runtime(document: dict[str, Any]) -> Runtime:
    return Runtime(
        path=document.get("path", ""),
        args=tuple(document.get("runtimeArgs") or ()),
        type=document.get("runtimeType", ""),
        options=document.get("options") or {},
    )


def check(config: Config, path: str = DEFAULT_FILE) -> None:
    """What holds between options."""
    merged = "merged configuration validation from file and command line flags failed: "
    if config.default_runtime not in config.runtimes:
        raise _bad_file(path, f"{merged}specified default runtime '{config.default_runtime}' does not exist")
    if config.default_cgroupns_mode not in ("", "host", "private"):
        mode = config.default_cgroupns_mode
        raise _bad_file(path, f'{merged}default cgroup namespace mode ({mode}) is invalid; use "host" or "private"')
    if config.default_ipc_mode not in ("shareable", "private"):
        mode = config.default_ipc_mode
        raise _bad_file(path, f'{merged}default IPC mode setting ({mode}) is invalid; use "shareable" or "private"')
    if config.log_level not in ("debug", "info", "warn", "error", "fatal", "trace", "panic"):
        raise InvalidArgument(f"invalid logging level: {config.log_level}")
    if config.bridge and config.bip:
        raise InvalidArgument("You specified -b & --bip, mutually exclusive options. Please specify only one")
    if not config.iptables and not config.icc:
        raise InvalidArgument(
            "You specified --iptables=false with --icc=false. ICC=false uses iptables to function. "
            "Please set --icc or --iptables to true"
        )
    _labels(config.labels)
    _socket_length(config)


def _labels(labels: tuple[str, ...]) -> None:
    seen: dict[str, str] = {}
    for label in labels:
        other = seen.setdefault(label.partition("=")[0], label)
        if other != label:
            raise InvalidArgument(f"conflict labels for {label} and {other}")


def _socket_length(config: Config) -> None:
    # streams/ and containerd's own sockets are at most 40 bytes below the exec root.
    room = MAX_SOCKET_PATH - 40
    if len(os.fsencode(config.exec_root)) > room:
        raise InvalidArgument(
            f"exec root {config.exec_root} is longer than {room} bytes, so that the sockets beneath it would be longer "
            f"than the {MAX_SOCKET_PATH} a unix socket may have: choose a shorter --exec-root"
        )
