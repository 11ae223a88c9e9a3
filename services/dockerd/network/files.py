"""Writes a container's hostname, hosts and resolv.conf, and edits its hosts file as neighbours come and go."""

import socket
from collections.abc import Sequence
from pathlib import Path

from services.dockerd.network import hosts
from services.dockerd.network.config import NetworkConfig
from services.dockerd.network.endpoint import Endpoint
from services.dockerd.network.request import Request
from services.dockerd.network.sandbox import Sandbox

HOSTS: Path = Path("/etc/hosts")


def write(
    sandbox: Sandbox, request: Request, config: NetworkConfig, gateways: Sequence[str],
    links: Sequence[hosts.Record] = (),
) -> None:
    """All three, anew for each start; in place, since a bind mount holds the file, not its name."""
    host = request.host
    on_host = sandbox.mode == "host"
    hostname = socket.gethostname() if on_host and not request.hostname else _hostname(request)
    full = f"{hostname}.{request.domainname}" if request.domainname and not on_host else hostname
    sandbox.hostname_path.write_text(full + "\n")
    extra = [*hosts.extra_records(host.ExtraHosts or (), config.host_gateway_ips or gateways), *links]
    if on_host:
        sandbox.hosts_path.write_text(_read(HOSTS) + hosts.render(extra))
    else:
        own = [record for endpoint in sandbox.endpoints for record in own_records(request, endpoint)]
        sandbox.hosts_path.write_text(hosts.hosts([*extra, *own]))
    servers, search, options = (
        host.Dns or config.dns,
        host.DnsSearch or config.dns_search,
        host.DnsOptions or config.dns_opts,
    )
    if on_host and not (servers or search or options):
        sandbox.resolv_conf_path.write_text(_read(hosts.HOST_FILE))
    else:
        upstream = _read(hosts.HOST_FILE) if on_host else hosts.upstream()
        ipv6 = on_host or any(endpoint.address6 for endpoint in sandbox.endpoints)
        sandbox.resolv_conf_path.write_text(
            hosts.resolv_conf(upstream, servers, search, options, loopback=on_host, ipv6=ipv6)
        )


def own_records(request: Request, endpoint: Endpoint) -> list[hosts.Record]:
    """A container's own lines: what it is called on this network is known to itself as well."""
    hostname, domain = _hostname(request), request.domainname
    return [hosts.own_record(address, hostname, domain, endpoint.names) for address in endpoint.addresses]


def _hostname(request: Request) -> str:
    return request.hostname or request.container_id[:12]


def add_records(path: Path, records: Sequence[hosts.Record]) -> None:
    """Add lines for neighbours, or for another network."""
    if records:
        with path.open("a") as file:
            file.write(hosts.render(records))


def remove_records(path: Path, addresses: Sequence[str]) -> None:
    """Take out the lines of who or what left, and nothing else."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return
    kept = [line for line in lines if line.split("\t")[0] not in addresses]
    if len(kept) < len(lines):
        path.write_text("".join(kept))


def rename(path: Path, names: str, records: Sequence[hosts.Record]) -> None:
    """Have names stand for these addresses, and no others."""
    try:
        lines = path.read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return
    kept = [line for line in lines if line.rstrip("\n").partition("\t")[2] != names]
    text = "".join(kept) + hosts.render(records)
    if text != "".join(lines):
        path.write_text(text)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
