"""Every option of the table as a flag, as a key of daemon.json, as both, and with a value that cannot be."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import flags, invocation
from services.dockerd.config import Config
from services.dockerd.invocation import Invocation
from services.dockerd.options import OPTIONS, Option

THERE = [option for option in OPTIONS if option.field]
KEYED = [option for option in OPTIONS if option.key and not option.now]
SAMPLES: dict[str, tuple[str, Any]] = {
    "add-runtime": ("other=/usr/bin/other", {"other": {"path": "/usr/bin/other"}}),
    "cluster-advertise": ("eth0:2376", "eth0:2376"),
    "cluster-store": ("etcd://h:2379/x", "etcd://h:2379/x"),
    "bip": ("10.1.0.1/16", "10.1.0.1/16"),
    "bip6": ("fd01::1/64", "fd01::1/64"),
    "bridge-accept-fwmark": ("0x1/0x3", "1/3"),
    "default-address-pool": ("base=10.0.0.0/8,size=24", [{"base": "10.0.0.0/8", "size": 24}]),
    "default-cgroupns-mode": ("private", "private"),
    "default-ipc-mode": ("shareable", "shareable"),
    "default-runtime": ("io.containerd.runc.v2", "io.containerd.runc.v2"),
    "default-network-opt": ("bridge=a=b", {"bridge": {"a": "b"}}),
    "default-ulimit": ("nofile=1:2", {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 2}}),
    "log-driver": ("none", "none"),
    "firewall-backend": ("iptables", "iptables"),
    "fixed-cidr": ("10.1.0.0/24", "10.1.0.0/24"),
    "fixed-cidr-v6": ("fd01::/80", "fd01::/80"),
    "log-format": ("json", "json"),
    "log-level": ("warn", "warn"),
    "log-opt": ("max-size=1m", {"max-size": "1m"}),
    "metrics-addr": ("127.0.0.1:9323", "127.0.0.1:9323"),
    "min-api-version": ("1.40", "1.40"),
    "mtu": ("1400", 1400),
}
"""Of options that not every text of their kind is a value of: as a flag, and in the file."""
BESIDE = {"cluster-advertise": ("--cluster-store", "etcd://h:1")}
"""Flags that an option needs beside it."""
KINDS: dict[Callable[[str], Any], tuple[str, Any]] = {
    flags.boolean: ("true", True), flags.integer: ("7", 7), flags.address: ("10.9.8.7", "10.9.8.7"),
    flags.size: ("3m", "3m"), flags.pair: ("a=b", {"a": "b"}), flags.feature: ("cdi=false", {"cdi": False}),
    flags.domain: ("a.b", "a.b"),
    flags.label: ("a=b", "a=b"), flags.mirror: ("https://m/", "https://m/"), flags.registry: ("reg:5000", "reg:5000"),
    flags.exec_opt: ("native.cgroupdriver=cgroupfs", "native.cgroupdriver=cgroupfs"),
}
BAD: dict[str, tuple[str, Any, str]] = {
    "bip": ("10.1.0.1", "10.1.0.1", "invalid CIDR address: 10.1.0.1"),
    "bip6": ("10.1.0.1/8", "10.1.0.1/8", "parse --bip6 failed: invalid CIDR address"),
    "cluster-advertise": ("eth0", "eth0", "invalid --cluster-advertise"),
    "cluster-store": ("papyrus://h", "papyrus://h", "papyrus"),
    "default-cgroupns-mode": ("x", "x", "cgroup namespace mode (x) is invalid"),
    "default-ipc-mode": ("x", "x", "IPC mode setting (x) is invalid"),
    "default-runtime": ("no", "no", "specified default runtime 'no' does not exist"),
    "exec-root": ("/" + "x" * 70, "/" + "x" * 70, "choose a shorter --exec-root"),
    "firewall-backend": ("x", "x", 'invalid firewall-backend "x"'),
    "fixed-cidr": ("x", "x", "invalid CIDR address: x"),
    "fixed-cidr-v6": ("x", "x", "invalid CIDR address: x"),
    "log-driver": ("papyrus", "papyrus", "failed to set log opts: error looking up logging plugin papyrus"),
    "log-format": ("xml", "xml", "invalid log format: xml"),
    "log-level": ("loud", "loud", "invalid logging level: loud"),
    "metrics-addr": ("127.0.0.1", "127.0.0.1", "missing port in address"),
    "min-api-version": ("1.1", "1.1", "minimum supported API version is 1.24: 1.1"),
    "add-runtime": ("x", {"x": {}}, "runtime"),
    "bridge-accept-fwmark": ("x", "x", "invalid firewall mark 'x'"),
    "default-address-pool": ("base=10.0.0.0/8,size=4", [{"base": "10.0.0.0/8", "size": 4}], "invalid pools size: 4"),
    "default-network-opt": ("x", {"x": 1}, "default-network-opt"),
    "default-ulimit": ("x=1", {"x": {"Name": "x", "Soft": 1, "Hard": 1}}, "invalid ulimit type: x"),
    "host": ("ftp://x", ["ftp://x"], "invalid bind address (ftp://x)"),
}
"""Of those without a kind of their own: a text that is no value as a flag, in the file, and what is said of it."""
LATER = frozenset((
    "authorization-plugin", "bridge", "cgroup-parent", "containerd", "containerd-namespace", "data-root", "group",
    "containerd-plugins-namespace", "init-path", "pidfile", "registry-config", "seccomp-profile", "storage-driver",
    "storage-opt", "tlscacert", "tlscert", "tlskey", "userland-proxy-path", "userns-remap",
))
"""Any text may be a value; whether it is one here turns out when the daemon starts."""
ANY = frozenset(("cdi-spec-dir", "dns-opt", "http-proxy", "https-proxy", "no-proxy"))
"""Any text is a value."""


def named(option: Option) -> str:
    return option.flag.name


def sample(option: Option) -> tuple[str, Any]:
    """A value other than the default: as a flag's text, and in JSON."""
    if option.flag.name in SAMPLES:
        return SAMPLES[option.flag.name]
    text, value = KINDS.get(option.flag.read, ("/a/b", "/a/b"))
    if option.flag.boolean and getattr(Config(), option.field, False) is True:
        text, value = "false", False
    return text, [value] if option.flag.many else value


def document(option: Option, value: Any) -> dict[str, Any]:
    outer, dot, inner = option.key.partition(".")
    return {outer: {inner: value}} if dot else {outer: value}


def parse(tmp_path: Path, content: dict[str, Any], *words: str) -> Invocation:
    path = tmp_path / "daemon.json"
    path.write_text(json.dumps(content))
    return invocation.parse(["--config-file", str(path), *words])


def refusal(tmp_path: Path, content: dict[str, Any], *words: str) -> str:
    with pytest.raises(InvalidArgument) as refused:
        parse(tmp_path, content, *words)
    return str(refused.value)


@pytest.mark.parametrize("option", THERE, ids=named)
def test_flag_and_key_say_the_same(tmp_path: Path, option: Option) -> None:
    text, value = sample(option)
    beside = BESIDE.get(option.flag.name, ())
    by_flag = parse(tmp_path, {}, f"--{option.flag.name}={text}", *beside).config
    assert by_flag == parse(tmp_path, document(option, value), *beside).config
    assert getattr(by_flag, option.field) != getattr(Config(), option.field)


@pytest.mark.parametrize("option", THERE, ids=named)
def test_both_is_a_conflict(tmp_path: Path, option: Option) -> None:
    text, value = sample(option)
    beside = BESIDE.get(option.flag.name, ())
    words = (f"--{option.flag.name}={text}", *beside)
    if option.key == "runtimes":
        assert parse(tmp_path, document(option, value), *words)
        return
    name = option.key.rpartition(".")[2]
    told = refusal(tmp_path, document(option, value), *words)
    assert "the following directives are specified both as a flag and in the configuration file: " in told
    assert f" {name}: (from flag: " in told and ", from file: " in told


@pytest.mark.parametrize("option", [option for option in THERE if option.flag.read in KINDS], ids=named)
def test_a_bad_flag_is_refused_by_name(tmp_path: Path, option: Option) -> None:
    if option.flag.read is flags.registry:
        bad = "-x"
    elif option.flag.read is flags.feature:
        bad = "cdi=perhaps"
    elif option.flag.read is flags.exec_opt:
        bad = "native.cgroupdriver=lxc"
    else:
        bad = "?"
    told = refusal(tmp_path, {}, f"--{option.flag.name}={bad}")
    assert f'invalid argument "{bad}" for "' in told and f'--{option.flag.name}" flag: ' in told


@pytest.mark.parametrize("option", [option for option in THERE if option.flag.name in BAD], ids=named)
def test_a_bad_value_is_refused_wherever_it_stands(tmp_path: Path, option: Option) -> None:
    text, value, told = BAD[option.flag.name]
    beside = BESIDE.get(option.flag.name, ())
    assert told in refusal(tmp_path, {}, f"--{option.flag.name}={text}", *beside)
    assert told in refusal(tmp_path, document(option, value), *beside)


def test_of_every_option_it_is_known_what_a_bad_value_is() -> None:
    kinds = {option.flag.name for option in THERE if option.flag.read in KINDS}
    groups = (kinds, BAD.keys(), LATER, ANY)
    assert sorted(name for group in groups for name in group) == sorted(option.flag.name for option in THERE)


@pytest.mark.parametrize("option", KEYED, ids=named)
def test_a_value_of_another_type_is_refused_by_key(tmp_path: Path, option: Option) -> None:
    for wrong in ([[]], {"x": []}, 1.5):
        told = refusal(tmp_path, document(option, wrong))
        assert f"line 1: {option.key}: " in told and "expected " in told


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.moot], ids=named)
def test_what_means_nothing_is_told(tmp_path: Path, option: Option) -> None:
    text, value = sample(option)
    for asked in (parse(tmp_path, {}, f"--{option.flag.name}={text}"), parse(tmp_path, document(option, value))):
        assert asked.config == Config()
        assert asked.notes == (f"--{option.flag.name} {option.reason}",)


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.reason and not option.moot], ids=named)
def test_what_is_gone_is_refused_in_a_line(tmp_path: Path, option: Option) -> None:
    text, value = sample(option)
    for told in (
        refusal(tmp_path, {}, f"--{option.flag.name}={text}"), refusal(tmp_path, document(option, value)),
    ):
        assert told == f"--{option.flag.name} {option.reason}"


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.neutral], ids=named)
def test_asking_for_nothing_is_accepted(tmp_path: Path, option: Option) -> None:
    for value in option.neutral:
        if option.flag.many == isinstance(value, list) and not (option.flag.read is flags.integer and value == ""):
            assert parse(tmp_path, document(option, value)).config == Config()


@pytest.mark.parametrize("option", [option for option in KEYED if not option.flag.boolean], ids=named)
def test_an_empty_value_leaves_the_default(tmp_path: Path, option: Option) -> None:
    """As in the sample files of Docker's documentation, which name every key."""
    empty: Any = {} if option.flag.pairs else [] if option.flag.many else 0 if option.flag.read is flags.integer else ""
    assert parse(tmp_path, document(option, empty)).config == Config()


def test_old_names_are_told(tmp_path: Path) -> None:
    asked = parse(tmp_path, {}, "-g=/data/docker")
    assert asked.config.data_root == Path("/data/docker")
    assert asked.notes == ("Flag --graph has been deprecated, Please use --data-root instead",)
    assert parse(tmp_path, {"graph": "/data"}).config.data_root == Path("/data")
    told = refusal(tmp_path, {}, "--graph", "/a", "--data-root", "/b")
    assert 'cannot specify both "--graph" and "--data-root" option' in told
    told = refusal(tmp_path, {"graph": "/a", "data-root": "/b"})
    assert 'cannot specify both "graph" and "data-root" config file options' in told
    assert "data-root: (from flag: /a, from file: /b)" in refusal(tmp_path, {"data-root": "/b"}, "-g", "/a")


def test_passwords_of_proxies_are_not_told(tmp_path: Path) -> None:
    given = {"proxies": {"http-proxy": "http://u:secret@p:1/"}}
    told = refusal(tmp_path, given, "--http-proxy", "http://v:hidden@q:2")
    assert "http-proxy: (from flag: http://xxxxx:xxxxx@q:2, from file: http://xxxxx:xxxxx@p:1/)" in told


def test_the_environment_may_name_the_lowest_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(invocation.MIN_API_VERSION, "1.41")
    assert parse(tmp_path, {}).config.min_api_version == "1.41"
    assert parse(tmp_path, {}, "--min-api-version", "1.42").config.min_api_version == "1.42"
