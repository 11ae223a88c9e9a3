import os

import pytest

from protos.errdefs import FailedPrecondition
from services.dockerd import programs, requirements
from services.dockerd.config import Config, Runtime


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


def lacking(config: Config) -> str:
    with pytest.raises(FailedPrecondition) as refused:
        requirements.check(config)
    return str(refused.value)


def test_root_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert lacking(Config()).startswith("dockerd needs to be started with root privileges: ")


def test_missing_programs_are_told_with_their_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATH", "/nowhere")
    text = lacking(Config(init=True))
    for line in ("OCI runtime runc: apt-get install runc", "docker-init for --init: apt-get install tini", "iptables"):
        assert f"\n  {line}" in text


def test_a_proxy_that_is_named_must_be_there() -> None:
    assert "the program /no/such of --userland-proxy-path" in lacking(Config(userland_proxy_path="/no/such"))


def test_shim_of_another_kind_needs_no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATH", "/nowhere")
    kata = {"kata": Runtime(type="io.containerd.kata.v2")}
    text = lacking(Config(runtimes=kata, default_runtime="kata"))
    assert "OCI runtime" not in text


def test_refusing_kernel_is_explained() -> None:
    text = str(requirements.links(OSError(95, "Operation not supported")))
    assert "Operation not supported" in text and "modprobe -a bridge veth" in text


def test_programs_are_found_in_system_directories() -> None:
    assert programs.which("sh").endswith("/sh")
    assert programs.which("/bin/sh") == "/bin/sh"
    assert programs.which("/bin/nothing") == programs.which("nothing-of-this-name") == ""
