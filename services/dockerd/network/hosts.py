"""The contents of a container's /etc/hostname, /etc/hosts and /etc/resolv.conf. Pure but for `upstream`."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple

from protos.errdefs import InvalidArgument

LOOPBACK: Final = (
    ("127.0.0.1", "localhost"),
    ("::1", "localhost ip6-localhost ip6-loopback"),
    ("fe00::", "ip6-localnet"),
    ("ff00::", "ip6-mcastprefix"),
    ("ff02::1", "ip6-allnodes"),
    ("ff02::2", "ip6-allrouters"),
)
PUBLIC_SERVERS: Final = ("8.8.8.8", "8.8.4.4")
HOST_GATEWAY: Final = "host-gateway"
HOST_FILE: Final = Path("/etc/resolv.conf")
RESOLVED_STUB: Final = "127.0.0.53"
RESOLVED_FILE: Final = Path("/run/systemd/resolve/resolv.conf")


class Record(NamedTuple):
    address: str
    names: str


def hosts(records: Iterable[Record]) -> str:
    """A hosts file: loopback first, then the records."""
    return render([Record(*each) for each in LOOPBACK]) + render(records)


def render(records: Iterable[Record]) -> str:
    return "".join(f"{address}\t{names}\n" for address, names in records)


def own_record(address: str, hostname: str, domainname: str, names: Sequence[str] = ()) -> Record:
    """A container's own line: full name first, then the bare one, then further names."""
    full = f"{hostname}.{domainname}" if domainname else hostname
    bare = full.partition(".")[0]
    return Record(address, " ".join(dict.fromkeys([full, bare, *names])))


def extra_records(extra: Sequence[str], gateways: Sequence[str]) -> list[Record]:
    """HostConfig.ExtraHosts: `name:address`, where `host-gateway` is the host's addresses as containers see them."""
    records = []
    for each in extra:
        name, _, address = each.partition(":")
        if address == HOST_GATEWAY and not gateways:
            raise InvalidArgument(f"unable to derive the IP value for {HOST_GATEWAY}: no default bridge")
        addresses = gateways if address == HOST_GATEWAY else (address.strip("[]"),)
        records += [Record(check_address(one, each), name) for one in addresses]
    return records


def check_address(address: str, text: str) -> str:
    try:
        ip_address(address)
    except ValueError:
        raise InvalidArgument(f"invalid IP address in add-host: {address!r} in {text!r}") from None
    return address


# resolv.conf


class Resolver(NamedTuple):
    """The directives of a resolv.conf; `options` and `search` None where there is no such line."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] | None = None
    options: tuple[str, ...] | None = None


def parse(text: str) -> Resolver:
    servers: list[str] = []
    search: tuple[str, ...] | None = None
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if words[:1] == ["nameserver"] and len(words) > 1:
            servers.append(words[1])
        elif words[:1] in (["search"], ["domain"]):
            search = tuple(words[1:])
        elif words[:1] == ["options"]:
            options += words[1:]
    return Resolver(tuple(servers), search, tuple(options) or None)


def upstream() -> str:
    """The host's own resolv.conf; behind systemd-resolved's stub the file that names the real servers."""
    try:
        text = HOST_FILE.read_text()
    except OSError:
        return ""
    if parse(text).servers == (RESOLVED_STUB,):
        try:
            return RESOLVED_FILE.read_text()
        except OSError:
            pass
    return text


def resolv_conf(
    host: str,
    servers: Sequence[str] = (),
    search: Sequence[str] = (),
    options: Sequence[str] = (),
    *,
    loopback: bool = False,
    ipv6: bool = False,
) -> str:
    """The container's file: the host's, but what is given replaces its kind.

    Servers on the host's loopback mean nothing in another network namespace and are left out, as are those on IPv6
    where the container has none; if no server is left, public ones are used.
    """
    found = parse(host)
    usable = tuple(each for each in found.servers if is_reachable(each, loopback, ipv6))
    reachable = tuple(servers) or usable or PUBLIC_SERVERS
    lines = [f"nameserver {each}" for each in reachable]
    domains = tuple(search) if search else found.search or ()
    if domains and domains != (".",):
        lines.append(f"search {' '.join(domains)}")
    if chosen := tuple(options) or found.options:
        lines.append(f"options {' '.join(chosen)}")
    return "\n".join(lines) + "\n"


def is_reachable(server: str, loopback: bool, ipv6: bool) -> bool:
    try:
        address = ip_address(server)
    except ValueError:
        return False
    return (loopback or not address.is_loopback) and (address.version == 4 or ipv6)
