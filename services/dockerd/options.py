"""The table of dockerd's options: flag, key in daemon.json, field of Config, and what is refused for now.

An option without a field is one that this engine does not have yet: only its neutral values are accepted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd import flags, hosts
from services.dockerd.flags import Flag


def _text(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    flag: Flag
    key: str = ""
    """Name in daemon.json; "" for what only a flag can say."""
    field: str = ""
    aliases: tuple[str, ...] = ()
    neutral: tuple[Any, ...] = ()
    """Without a field: values that ask for nothing."""
    about: str = ""

    def refuse(self, value: Any) -> None:
        """InvalidArgument for what is not there."""
        if not self.field and value not in self.neutral:
            raise InvalidArgument(f"--{self.flag.name} {flags.show(value)} is not supported by this engine: remove it")

    def from_json(self, value: Any) -> Any:
        """A value of daemon.json as the flag's would be; ValueError in words for people."""
        if self.flag.pairs:
            return self._pairs(value)
        if self.flag.many:
            if not isinstance(value, list):
                raise ValueError(f"expected a list, got {_kind(value)}")
            return [self._item(each) for each in value]
        return self._item(value)

    def _pairs(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"expected an object, got {_kind(value)}")
        if self.flag.read is flags.ulimit:
            return dict(flags.ulimit(f"{key}={each['Soft']}:{each['Hard']}") for key, each in value.items())
        if self.flag.read is flags.pair:
            return {key: str(self._item(each)) for key, each in value.items()}
        return dict(value)

    def _item(self, value: Any) -> Any:
        read = self.flag.read
        expected: Any = bool if read is flags.boolean else int if read is flags.integer else str
        if read is flags.pool and isinstance(value, dict):
            return flags.pool(f"base={value.get('base')},size={value.get('size')}")
        if read is flags.size and type(value) is int:
            return value
        if type(value) is not expected:
            raise ValueError(f"expected {_NAMES[expected]}, got {_kind(value)}")
        return read(value) if expected is str and not self.flag.pairs else value


_NAMES: Final = {bool: "a boolean", int: "a number", str: "a string"}


def _kind(value: Any) -> str:
    return _NAMES.get(type(value), "null" if value is None else "a list" if isinstance(value, list) else "an object")


def _one(
    name: str, about: str, read: Callable[[str], Any] = _text, *, field: str = "", key: str | None = None,
    short: str = "", aliases: tuple[str, ...] = (),
) -> Option:
    """An option that has a field."""
    key = name if key is None else key
    return Option(Flag(name, read, short), key, field or name.replace("-", "_"), aliases, about=about)


def _list(name: str, about: str, read: Callable[[str], Any] = _text, *, key: str = "", short: str = "") -> Option:
    """An option that may be given again; its key in daemon.json is the plural."""
    key = key or name + "s"
    return Option(Flag(name, read, short, many=True), key, key.replace("-", "_"), about=about)


def _map(name: str, about: str, read: Callable[[str], Any], *, key: str = "") -> Option:
    key = key or name + "s"
    return Option(Flag(name, read, pairs=True), key, key.replace("-", "_"), about=about)


def _act(name: str, about: str, read: Callable[[str], Any] = flags.boolean, short: str = "") -> Option:
    """A flag that is no part of the configuration."""
    return Option(Flag(name, read, short), about=about)


def _lacking(name: str, read: Callable[[str], Any] = _text, *neutral: Any, key: str = "", many: bool = False) -> Option:
    """An option that this engine does not have."""
    empty: tuple[Any, ...] = ([],) if many else (False,) if read is flags.boolean else ("",)
    pairs = many and read is flags.pair
    return Option(Flag(name, read, many=many, pairs=pairs), key or name, neutral=(*empty, *neutral, {}))


_bool, _int = flags.boolean, flags.integer

OPTIONS: Final = (
    _map("add-runtime", "Register an additional OCI compatible runtime", flags.runtime, key="runtimes"),
    _one("bip", "Specify default-bridge IPv4 network"),
    _one("bridge", "Attach containers to a network bridge", short="b"),
    _one("cgroup-parent", "Set parent cgroup for all containers"),
    _act("config-file", "Daemon configuration file (default /etc/docker/daemon.json)", _text),
    _one("containerd", "containerd grpc address"),
    _one("containerd-namespace", "Containerd namespace to use (default moby)"),
    _one("data-root", "Root directory of persistent state (default /var/lib/docker)", short="g", aliases=("graph",)),
    _one("debug", "Enable debug mode", _bool, short="D"),
    _list("default-address-pool", "Default address pools for node specific local networks", flags.pool),
    _one("default-cgroupns-mode", 'Default mode for containers cgroup namespace ("host" | "private")'),
    _one("default-gateway", "Default gateway IPv4 address for the default bridge network", flags.address),
    _one("default-ipc-mode", 'Default mode for containers ipc ("shareable" | "private") (default private)'),
    _one("default-runtime", "Default OCI runtime for containers (default runc)"),
    _one("default-shm-size", "Default shm size for containers (default 64MiB)", flags.size),
    _map("default-ulimit", "Default ulimits for containers", flags.ulimit),
    _list("dns", "DNS server to use", flags.address, key="dns"),
    _list("dns-opt", "DNS options to use"),
    _list("dns-search", "DNS search domains to use", key="dns-search"),
    _one("exec-root", "Root directory for execution state files (default /var/run/docker)"),
    _one("fixed-cidr", "IPv4 subnet for the default bridge network"),
    _one("group", "Group for the unix socket (default docker)", short="G"),
    _act("help", "Print usage", short="h"),
    _list("host", "Daemon socket(s) to connect to", hosts.read, short="H"),
    _one("host-gateway-ip", "IP address that `host-gateway` in --add-host stands for", flags.address),
    _one("icc", "Enable inter-container communication for the default bridge network (default true)", _bool),
    _one("init", "Run an init in the container to forward signals and reap processes", _bool),
    _one("init-path", "Path to the docker-init binary"),
    _list("insecure-registry", "Enable insecure registry communication", key="insecure-registries"),
    _one("ip", "Host IP for port publishing from the default bridge network", flags.address),
    _one("ip-forward", "Enable IP forwarding in system configuration (default true)", _bool),
    _one("ip-masq", "Enable IP masquerading for the default bridge network (default true)", _bool),
    _one("iptables", "Enable addition of iptables rules (default true)", _bool),
    _list("label", "Set key=value labels to the daemon", flags.label),
    _one("live-restore", "Enable live restore of docker when containers are still running", _bool),
    _one("log-driver", "Default driver for container logs (default json-file)"),
    _one("log-level", "Set the logging level (default info)", short="l"),
    _map("log-opt", "Default log driver options for containers", flags.pair),
    _one("max-concurrent-downloads", "Set the max concurrent downloads (default 3)", _int),
    _one("max-concurrent-uploads", "Set the max concurrent uploads (default 5)", _int),
    _one("max-download-attempts", "Set the max download attempts for each pull (default 5)", _int),
    _one("mtu", "Set the MTU for the default bridge network", _int),
    _one("no-new-privileges", "Set no-new-privileges by default for new containers", _bool),
    _one("oom-score-adjust", "Set the oom_score_adj for the daemon", _int),
    _one("pidfile", "Path to use for daemon PID file (default /var/run/docker.pid)", short="p"),
    _list("registry-mirror", "Preferred registry mirror", flags.mirror),
    _one("seccomp-profile", 'Path to seccomp profile, or "builtin" or "unconfined" (default builtin)'),
    _one("shutdown-timeout", "Set the default shutdown timeout (default 15)", _int),
    _one("storage-driver", "Storage driver to use (default overlay2)", short="s"),
    _one("tls", "Use TLS; implied by --tlsverify", _bool),
    _one("tlscacert", "Trust certs signed only by this CA (default ~/.docker/ca.pem)"),
    _one("tlscert", "Path to TLS certificate file (default ~/.docker/cert.pem)"),
    _one("tlskey", "Path to TLS key file (default ~/.docker/key.pem)"),
    _one("tlsverify", "Use TLS and verify the remote", _bool),
    _one("userland-proxy", "Use userland proxy for loopback traffic (default true)", _bool),
    _one("userland-proxy-path", "Path to the userland proxy binary"),
    _act("validate", "Validate daemon configuration and exit"),
    _act("version", "Print version information and quit", short="v"),
    # Not there yet.
    _lacking("allow-direct-routing", _bool),
    _lacking("authorization-plugin", many=True, key="authorization-plugins"),
    _lacking("bip6"),
    _lacking("bridge-accept-fwmark"),
    _lacking("cdi-spec-dir", many=True, key="cdi-spec-dirs"),
    _lacking("containerd-plugins-namespace", _text, "plugins.moby"),
    _lacking("cpu-rt-period", _int, 0),
    _lacking("cpu-rt-runtime", _int, 0),
    _lacking("cri-containerd", _bool),
    _lacking("default-gateway-v6"),
    _lacking("default-network-opt", many=True, key="default-network-opts"),
    _lacking("exec-opt", _text, ["native.cgroupdriver=cgroupfs"], many=True, key="exec-opts"),
    _lacking("experimental", _bool),
    _lacking("feature", flags.pair, many=True, key="features"),
    _lacking("firewall-backend", _text, "iptables"),
    _lacking("fixed-cidr-v6"),
    _lacking("http-proxy"),
    _lacking("https-proxy"),
    _lacking("ip6tables", _bool, True),
    _lacking("ip-forward-no-drop", _bool, True),
    _lacking("ipv6", _bool),
    _lacking("log-format", _text, "text"),
    _lacking("metrics-addr"),
    _lacking("network-control-plane-mtu", _int, 1500),
    _lacking("no-proxy"),
    _lacking("node-generic-resource", many=True, key="node-generic-resources"),
    _lacking("raw-logs", _bool, True),
    _lacking("rootless", _bool),
    _lacking("selinux-enabled", _bool),
    _lacking("storage-opt", many=True, key="storage-opts"),
    _lacking("swarm-default-advertise-addr"),
    _lacking("userns-remap"),
)
