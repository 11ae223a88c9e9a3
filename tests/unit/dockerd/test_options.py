"""The table of options, the help and docs/flags.md agree."""

import re
from pathlib import Path

import pytest

from services.dockerd import config, file, manual
from services.dockerd.options import OPTIONS, Option

PAGE = (Path(__file__).parents[3] / "docs/flags.md").read_text().partition("## docker-containerd")[0]
ROWS = {
    name: [cell.strip() for cell in line.split("|")[1:-1]]
    for line in PAGE.splitlines() if line.startswith("| `-")
    for name in re.findall(r"`--([a-z0-9-]+)", line.split("|")[1])
}


def named(option: Option) -> str:
    return option.flag.name


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.about], ids=named)
def test_options_there_are_shown(option: Option) -> None:
    """In the help, and as a row of the page with key and whether it is live."""
    short = f"-{option.flag.short}, " if option.flag.short else "    "
    assert f"\n  {short}--{option.flag.name}" in manual.text()
    row = ROWS[option.flag.name]
    assert len(row) == 6, "flag, key, default, live, effect, Docker"
    assert row[1] == (f"`{option.key}`" if option.key else "")
    assert row[3] == ("yes" if option.live else "")
    assert (f"`-{option.flag.short}`" in row[0]) == bool(option.flag.short)


@pytest.mark.parametrize("option", [option for option in OPTIONS if not option.about], ids=named)
def test_options_not_there_are_told_of(option: Option) -> None:
    assert len(ROWS[option.flag.name]) == (2 if option.reason else 6)


def test_the_page_tells_of_nothing_else() -> None:
    assert ROWS.keys() == {option.flag.name for option in OPTIONS}


def test_the_table_is_sorted_and_without_doubles() -> None:
    names = [option.flag.name.replace("-", "\x00") for option in OPTIONS]
    assert names == sorted(set(names))
    shorts = [option.flag.short for option in OPTIONS if option.flag.short]
    assert len(shorts) == len(set(shorts))
    keys = [option.key for option in OPTIONS if option.key]
    assert len(keys) == len(set(keys))


def test_every_option_there_has_a_field() -> None:
    fields = set(config.Config.__dataclass_fields__)
    assert {option.field for option in OPTIONS if option.field} == fields - {"owners"}  # found out at the start


DOCUMENTED = """
allow-nondistributable-artifacts api-cors-header authorization-plugins bip bridge builder cgroup-parent
cluster-advertise cluster-store cluster-store-opts containerd containerd-namespace containerd-plugin-namespace
data-root debug default-address-pools default-cgroupns-mode default-gateway default-gateway-v6 default-network-opts
default-runtime default-shm-size default-ulimits disable-legacy-registry dns dns-opts dns-search exec-opts exec-root
experimental features fixed-cidr fixed-cidr-v6 graph group hosts icc init init-path insecure-registries ip ip-forward
ip-masq iptables ip6tables ipv6 labels live-restore log-driver log-format log-level log-opts max-concurrent-downloads
max-concurrent-uploads max-download-attempts metrics-addr mtu no-new-privileges node-generic-resources
oom-score-adjust pidfile proxies.http-proxy proxies.https-proxy proxies.no-proxy raw-logs registry-mirrors runtimes
seccomp-profile selinux-enabled shutdown-timeout storage-driver storage-opts swarm-default-advertise-addr tls
tlscacert tlscert tlskey tlsverify userland-proxy userland-proxy-path userns-remap
"""
"""Keys in the complete samples of Docker's documentation, 1.12 to 28."""


def test_every_documented_key_is_known() -> None:
    assert set(DOCUMENTED.split()) <= {option.key for option in OPTIONS} | file.IGNORED
