"""The table of dockerd's options: flag, key in daemon.json, field of Config, and whether SIGHUP reloads it.

One line an option, sorted by flag. `_moot` is accepted and said to mean nothing here, `_gone` is refused in one line,
unless its value asks for nothing, `_old` is another's old name.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from protos.errdefs import InvalidArgument
from services.dockerd import flags, hosts
from services.dockerd.flags import Flag

Read = Callable[[str], Any]


def _text(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True, eq=False)
class Option:
    flag: Flag
    key: str = ""
    """Name in daemon.json, `a.b` for `b` in the object `a`; "" for what only a flag can say."""
    field: str = ""
    """Of Config; "" for what has no effect on it."""
    about: str = ""
    """Its line in the help; "" for what is not shown there."""
    live: bool = False
    """SIGHUP reloads it."""
    neutral: tuple[Any, ...] = ()
    """Without a field: values that ask for nothing."""
    reason: str = ""
    """Why it is refused, or means nothing."""
    moot: bool = False
    """Accepted, and said to mean nothing here."""
    now: str = ""
    """The flag that this is an old name of."""

    def refuse(self, value: Any) -> None:
        """InvalidArgument for what is not there."""
        if self.reason and not self.moot and value not in self.neutral:
            raise InvalidArgument(f"--{self.flag.name} {self.reason}")


def _one(
    name: str, about: str, read: Read = _text, *, field: str = "", key: str = "", short: str = "", live: bool = False,
) -> Option:
    """An option with one value."""
    return Option(Flag(name, read, short), key or name, field or name.replace("-", "_"), about, live)


def _list(
    name: str, about: str, read: Read = _text, *, key: str = "", short: str = "", live: bool = False,
) -> Option:
    """An option that may be given again; its key in daemon.json is the plural."""
    key = key or name + "s"
    return Option(Flag(name, read, short, many=True), key, key.replace("-", "_"), about, live)


def _map(
    name: str, about: str, read: Read, *, key: str = "", live: bool = False
) -> Option:
    """An option of pairs that may be given again; an object in daemon.json."""
    key = key or name + "s"
    return Option(Flag(name, read, pairs=True), key, key.replace("-", "_"), about, live)


def _nothing(flag: Flag) -> tuple[Any, ...]:
    return ([],) if flag.many else ({},) if flag.pairs else (False,) if flag.boolean else ("",)


def _act(name: str, about: str, read: Read = flags.boolean, short: str = "") -> Option:
    """A flag that is no part of the configuration."""
    return Option(Flag(name, read, short), about=about)


def _moot(name: str, reason: str, read: Read = _text, *, key: str = "", many: bool = False) -> Option:
    return Option(Flag(name, read, many=many), key or (name + "s" if many else name), reason=reason, moot=True)


def _gone(name: str, reason: str, read: Read = _text, *neutral: Any, short: str = "", many: bool = False) -> Option:
    flag = Flag(name, read, short, many=many)
    return Option(flag, name, reason=reason, neutral=(*_nothing(flag), *neutral))


def _old(name: str, now: str, about: str, short: str = "") -> Option:
    return Option(Flag(name, _text, short), name, about=about, now=now)


_bool, _int = flags.boolean, flags.integer
_SWARM: Final = "has no effect: there is no swarm mode here"

OPTIONS: Final = (
    _map("add-runtime", "Register an additional OCI compatible runtime", flags.runtime, key="runtimes", live=True),
    _one("allow-direct-routing", "Allow remote access to published ports on container IP addresses", _bool),
    _moot(
        "allow-nondistributable-artifacts", "has no effect: Docker has removed it, they are always pushed", many=True,
        key="allow-nondistributable-artifacts"),
    _gone("api-cors-header", "has been removed: use a reverse proxy if you need CORS headers"),
    _gone("api-enable-cors", "has been removed: use a reverse proxy if you need CORS headers", _bool),
    _list("authorization-plugin", "Authorization plugins to load", live=True),
    _one("bip", "IPv4 address for the default bridge"),
    _one("bip6", "IPv6 address for the default bridge"),
    _one("bridge", "Attach containers to a network bridge", short="b"),
    _one("bridge-accept-fwmark", "In bridge networks, accept packets with this firewall mark/mask", flags.fwmark),
    _list("cdi-spec-dir", "CDI specification directories to use (default /etc/cdi, /var/run/cdi)"),
    _one("cgroup-parent", "Set parent cgroup for all containers"),
    _one("cluster-advertise", "Address or interface name to advertise", live=True),
    _one("cluster-store", "URL of the distributed storage backend", live=True),
    _map("cluster-store-opt", "Set cluster store options", flags.pair, live=True),
    _act("config-file", "Daemon configuration file (default /etc/docker/daemon.json)", _text),
    _one("containerd", "containerd grpc address"),
    _one("containerd-namespace", "Containerd namespace to use (default moby)"),
    _one(
        "containerd-plugins-namespace", "Containerd namespace to use for plugins (default plugins.moby)",
        key="containerd-plugin-namespace"),
    _gone("cpu-rt-period", "is not supported: daemon-wide real-time scheduling of containers is not there", _int, 0),
    _gone("cpu-rt-runtime", "is not supported: daemon-wide real-time scheduling of containers is not there", _int, 0),
    _gone(
        "cri-containerd", "is not supported: docker-containerd has no CRI; name a containerd that has by --containerd",
        _bool),
    _one("data-root", "Root directory of persistent Docker state (default /var/lib/docker)"),
    _one("debug", "Enable debug mode", _bool, short="D", live=True),
    _list("default-address-pool", "Default address pools for node specific local networks", flags.pool),
    _one("default-cgroupns-mode", 'Default mode for containers cgroup namespace ("host" | "private")', live=True),
    _one("default-gateway", "Default gateway IPv4 address for the default bridge network", flags.address),
    _one("default-gateway-v6", "Default gateway IPv6 address for the default bridge network", flags.address),
    _one("default-ipc-mode", 'Default mode for containers ipc ("shareable" | "private") (default private)', live=True),
    _map("default-network-opt", "Default network options", flags.network_opt),
    _one("default-runtime", "Default OCI runtime for containers (default runc)", live=True),
    _one("default-shm-size", "Default shm size for containers (default 64MiB)", flags.size, live=True),
    _map("default-ulimit", "Default ulimits for containers", flags.ulimit),
    _moot("deprecated-key-path", "has no effect: Docker has removed it"),
    _moot("disable-legacy-registry", "has no effect: Docker has removed it, v1 registries are never spoken to", _bool),
    _list("dns", "DNS server to use", flags.address, key="dns"),
    _list("dns-opt", "DNS options to use"),
    _list("dns-search", "DNS search domains to use", flags.domain, key="dns-search"),
    _gone("exec-driver", "has been removed: use --add-runtime and --default-runtime", _text, "native", short="e"),
    _list("exec-opt", "Runtime execution options", flags.exec_opt),
    _one("exec-root", "Root directory for execution state files (default /var/run/docker)"),
    _moot("experimental", "has no effect: nothing here is kept back as experimental", _bool),
    _map("feature", "Enable feature in the daemon", flags.feature, live=True),
    _one("firewall-backend", "Firewall backend to use (default iptables)"),
    _one("fixed-cidr", "IPv4 subnet for the default bridge network"),
    _one("fixed-cidr-v6", "IPv6 subnet for the default bridge network"),
    _old("graph", "data-root", "Deprecated: use --data-root", short="g"),
    _one("group", "Group for the unix socket (default docker)", short="G"),
    _act("help", "Print usage", short="h"),
    _list("host", "Daemon socket(s) to connect to", hosts.read, short="H"),
    _list(
        "host-gateway-ip", "IP addresses that the special 'host-gateway' string in --add-host resolves to",
        flags.address, key="host-gateway-ips"),
    _one("http-proxy", "HTTP proxy URL to use for outgoing traffic", key="proxies.http-proxy"),
    _one("https-proxy", "HTTPS proxy URL to use for outgoing traffic", key="proxies.https-proxy"),
    _one("icc", "Enable inter-container communication for the default bridge network (default true)", _bool),
    _one("init", "Run an init in the container to forward signals and reap processes", _bool),
    _one("init-path", "Path to the docker-init binary"),
    _list(
        "insecure-registry", "Enable insecure registry communication",
        flags.registry, key="insecure-registries", live=True),
    _one("ip", "Host IP for port publishing from the default bridge network", flags.address),
    _one("ip-forward", "Enable IP forwarding in system configuration (default true)", _bool),
    _one(
        "ip-forward-no-drop", "Do not set the filter-FORWARD policy to DROP when enabling IP forwarding",
        _bool),
    _one("ip-masq", "Enable IP masquerading for the default bridge network (default true)", _bool),
    _one("ip6tables", "Enable addition of ip6tables rules (default true)", _bool),
    _one("iptables", "Enable addition of iptables rules (default true)", _bool),
    _one("ipv6", "Enable IPv6 networking for the default bridge network", _bool),
    _list("label", "Set key=value labels to the daemon", flags.label, live=True),
    _one("live-restore", "Enable live restore of docker when containers are still running", _bool, live=True),
    _one("log-driver", "Default driver for container logs (default json-file)"),
    _one("log-format", 'Set the logging format ("text"|"json") (default text)'),
    _one("log-level", 'Set the logging level ("debug"|"info"|"warn"|"error"|"fatal") (default info)', short="l"),
    _map("log-opt", "Default log driver options for containers", flags.pair),
    _one("max-concurrent-downloads", "Set the max concurrent downloads (default 3)", _int, live=True),
    _one("max-concurrent-uploads", "Set the max concurrent uploads (default 5)", _int, live=True),
    _one("max-download-attempts", "Set the max download attempts for each pull (default 5)", _int, live=True),
    _one("metrics-addr", "Set default address and port to serve the metrics api on"),
    _one("min-api-version", "Lowest API version that is served, of those there are"),
    _one("mtu", "Set the MTU for the default bridge network (default 1500)", _int),
    _moot("network-control-plane-mtu", _SWARM, _int),
    _moot("network-diagnostic-port", _SWARM, _int),
    _one("no-new-privileges", "Set no-new-privileges by default for new containers", _bool),
    _one(
        "no-proxy", "Comma-separated list of hosts or IP addresses for which the proxy is skipped",
        key="proxies.no-proxy"),
    _moot("node-generic-resource", _SWARM, many=True),
    _one("oom-score-adjust", "Set the oom_score_adj for the daemon", _int),
    _one("pidfile", "Path to use for daemon PID file (default /var/run/docker.pid)", short="p"),
    _one("raw-logs", "Full timestamps without ANSI coloring", _bool),
    _one(
        "registry-config", "Directory of <host>/hosts.toml with mirrors by registry (default /etc/docker/certs.d)",
        live=True),
    _list("registry-mirror", "Preferred registry mirror", flags.mirror, live=True),
    _moot("restart", "has no effect: Docker has removed it in favour of docker run --restart", _bool),
    _gone("rootless", "is not supported: this engine runs as root", _bool),
    _one("seccomp-profile", 'Path to seccomp profile, or "builtin" or "unconfined" (default builtin)'),
    _one("selinux-enabled", "Enable selinux support", _bool),
    _one("shutdown-timeout", "Set the default shutdown timeout (default 15)", _int, live=True),
    _one("storage-driver", "Storage driver to use (default: what was used before, else what works)", short="s"),
    _list("storage-opt", "Storage driver options"),
    _moot("swarm-default-advertise-addr", _SWARM),
    _one("tls", "Use TLS; implied by --tlsverify", _bool),
    _one("tlscacert", "Trust certs signed only by this CA (default ~/.docker/ca.pem)"),
    _one("tlscert", "Path to TLS certificate file (default ~/.docker/cert.pem)"),
    _one("tlskey", "Path to TLS key file (default ~/.docker/key.pem)"),
    _one("tlsverify", "Use TLS and verify the remote", _bool),
    _one("userland-proxy", "Use userland proxy for loopback traffic (default true)", _bool),
    _one("userland-proxy-path", "Path to the userland proxy binary"),
    _one("userns-remap", "User/Group setting for user namespaces"),
    _act("validate", "Validate daemon configuration and exit"),
    _act("version", "Print version information and quit", short="v"),
)
