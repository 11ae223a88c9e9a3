import json
from pathlib import Path

import pytest

from protos.errdefs import InvalidArgument
from services.dockerd import invocation
from services.dockerd.config import Config, Runtime


def parse(tmp_path: Path, document: object, *words: str) -> Config:
    path = tmp_path / "daemon.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return invocation.parse(["--config-file", str(path), *words]).config


def refusal(tmp_path: Path, document: object, *words: str) -> str:
    with pytest.raises(InvalidArgument) as refused:
        parse(tmp_path, document, *words)
    return str(refused.value).replace(str(tmp_path / "daemon.json"), "FILE")


BAD_FILE = "unable to configure the Docker daemon with file FILE: "


def test_defaults_are_dockers(tmp_path: Path) -> None:
    assert parse(tmp_path, {}) == Config()
    assert Config().containerd_address == "/var/run/docker/containerd/containerd.sock"


def test_flags_fill_the_configuration(tmp_path: Path) -> None:
    made = parse(
        tmp_path, {}, "-g", "/data", "--exec-root=/run/x", "-H", "unix:///a", "-Htcp://b:1", "-p", "/pid", "-DG", "grp",
        "--icc=false", "--bip", "10.9.0.1/24", "--dns", "1.1.1.1", "--dns", "::1", "--default-ulimit", "nofile=1:2",
        "--add-runtime", "crun=/usr/bin/crun", "--default-runtime", "crun", "--shutdown-timeout", "-1",
    )
    assert made.data_root == Path("/data")
    assert made.hosts == ("unix:///a", "tcp://b:1")
    assert made.runtimes == {"runc": Runtime("runc"), "crun": Runtime("/usr/bin/crun")}
    assert (made.debug, made.icc, made.group, made.shutdown_timeout) == (True, False, "grp", -1)
    assert made.default_ulimits == {"nofile": (1, 2)}
    assert (made.network.bip, made.network.icc, made.network.dns) == ("10.9.0.1/24", False, ("1.1.1.1", "::1"))


def test_file_fills_the_configuration(tmp_path: Path) -> None:
    made = parse(tmp_path, {
        "hosts": ["unix:///x"], "debug": True, "mtu": 1400, "log-opts": {"max-size": "1m", "max-file": "3"},
        "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 9, "Soft": 8}}, "default-shm-size": "1g",
        "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}], "labels": ["a=b"],
        "runtimes": {
            "kata": {"runtimeType": "io.containerd.kata.v2", "options": {"ConfigPath": "/k"}}, "x": {"path": "/x"},
        },
    })
    assert made.hosts == ("unix:///x",)
    assert made.default_ulimits == {"nofile": (8, 9)}
    assert made.default_shm_size == 1 << 30
    assert made.default_address_pools == (("10.0.0.0/8", 24),)
    assert made.log_opts == {"max-size": "1m", "max-file": "3"}
    assert made.runtimes["kata"] == Runtime(type="io.containerd.kata.v2", options={"ConfigPath": "/k"})


def test_option_given_twice_is_a_conflict(tmp_path: Path) -> None:
    document = {"hosts": ["unix:///x"], "debug": True, "log-opts": {"a": "b"}}
    assert refusal(tmp_path, document, "-D", "-H", "unix:///y", "--log-opt", "max-size=1m") == BAD_FILE + (
        "the following directives are specified both as a flag and in the configuration file: "
        "debug: (from flag: true, from file: true), hosts: (from flag: [unix:///y], from file: [unix:///x]), "
        "log-opts: (from flag: map[max-size:1m], from file: map[a:b])"
    )


def test_runtimes_may_stand_in_both(tmp_path: Path) -> None:
    made = parse(tmp_path, {"runtimes": {"a": {"path": "/a"}}}, "--add-runtime", "b=/b")
    assert set(made.runtimes) == {"runc", "a", "b"}


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    text = "the following directives don't match any configuration option: foo, bar (lines 2, 3)"
    assert refusal(tmp_path, '{\n"foo": 1,\n"bar": 2}') == BAD_FILE + text


def test_broken_file_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, '{"debug":').startswith(BAD_FILE + "invalid JSON: ")
    assert refusal(tmp_path, []) == BAD_FILE + "the file's content must be a JSON object"
    assert refusal(tmp_path, {"debug": "yes"}) == BAD_FILE + "line 1: debug: expected a boolean, got a string"
    inner = refusal(tmp_path, '{"log-opts":\n{"a":\n1}}')
    assert inner == BAD_FILE + "line 2: log-opts: a: expected a string, got a number"
    assert refusal(tmp_path, {"labels": ["x"]}) == BAD_FILE + "line 1: labels: bad attribute format: x"
    assert refusal(tmp_path, {"dns": "1.1.1.1"}) == BAD_FILE + "line 1: dns: expected a list, got a string"


def test_missing_file_is_an_error_only_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"open /nope\.json: no such file or directory"):
        invocation.parse(["--config-file", "/nope.json"])


def test_without_a_file_none_is_blamed(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as refused:
        invocation.parse(["--config-file", "", "--default-runtime", "no"])
    assert str(refused.value) == "specified default runtime 'no' does not exist"
    told = refusal(tmp_path, {"default-runtime": "no"})
    merged = "merged configuration validation from file and command line flags failed: "
    assert told == f"{BAD_FILE}{merged}specified default runtime 'no' does not exist"


@pytest.mark.parametrize("word", ["warning", "WARN"])
def test_levels_have_the_spellings_of_dockers(tmp_path: Path, word: str) -> None:
    assert parse(tmp_path, {}, "-l", word).log_level == parse(tmp_path, {"log-level": word}).log_level == "warn"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--default-runtime", "no"], "specified default runtime 'no' does not exist"),
        (["--default-cgroupns-mode", "x"], 'default cgroup namespace mode (x) is invalid; use "host" or "private"'),
        (["--default-ipc-mode", "x"], 'default IPC mode setting (x) is invalid; use "shareable" or "private"'),
        (["-l", "bogus"], "invalid logging level: bogus"),
        (["--label", "a=b", "--label", "a=c"], "conflict labels for a=c and a=b"),
        (["-b", "br0", "--bip", "10.0.0.1/8"], "You specified -b & --bip, mutually exclusive options."),
        (["--icc=false", "--iptables=false"], "You specified --iptables=false with --icc=false."),
        (["--exec-root", "/" + "x" * 70], "choose a shorter --exec-root"),
        (["-H", "ftp://x"], 'invalid argument "ftp://x" for "-H, --host" flag: invalid bind address (ftp://x): unsup'),
        (["--exec-opt", "native.cgroupdriver=lxc"], "native.cgroupdriver option lxc not supported"),
    ],
)
def test_impossible_configuration_is_refused(tmp_path: Path, words: list[str], text: str) -> None:
    assert text in refusal(tmp_path, {}, *words)


def test_other_exec_opts_are_let_pass(tmp_path: Path) -> None:
    asked = invocation.parse(["--config-file", "", "--exec-opt", "isolation=hyperv"])
    assert asked.notes == ("--exec-opt isolation=hyperv has no effect: there is native.cgroupdriver",)


@pytest.mark.parametrize("words", [["--selinux-enabled=false"], ["--rootless=false"]])
def test_asking_for_nothing_is_accepted(tmp_path: Path, words: list[str]) -> None:
    assert parse(tmp_path, {}, *words) == Config()


def test_help_and_version_need_no_file() -> None:
    assert invocation.parse(["--version", "--config-file", "/nope.json"]).version
    assert invocation.parse(["-h"]).help


@pytest.mark.parametrize(
    ("words", "secure", "verifies", "hosts"),
    [
        ([], False, False, ("unix:///var/run/docker.sock",)),
        (["--tls"], True, True, ("tcp://localhost:2376",)),
        (["--tlsverify"], True, True, ("tcp://localhost:2376",)),
        (["--tlsverify=false"], True, False, ("tcp://localhost:2376",)),
        (["--tls=false", "-H", "tcp://"], False, False, ("tcp://localhost:2375",)),
        (["--tls=false", "--tlsverify", "-H", "tcp://0.0.0.0"], True, True, ("tcp://0.0.0.0:2376",)),
        (["--tls", "-H", "", "-H", "/a.sock"], True, True, ("tcp://localhost:2376", "unix:///a.sock")),
    ],
)
def test_tls_decides_who_is_asked_for_what(
    tmp_path: Path, words: list[str], secure: bool, verifies: bool, hosts: tuple[str, ...]
) -> None:
    made = parse(tmp_path, {}, *words)
    assert (made.secure, made.verifies, made.hosts) == (secure, verifies, hosts)
