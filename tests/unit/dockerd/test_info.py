from pathlib import Path

from services.dockerd import info
from services.dockerd.config import Config, Runtime
from services.dockerd.oci.facts import Facts

WHOLE = Facts(
    cgroup_version=1, memory_limit=True, swap_limit=True, oom_kill_disable=True, cpu_cfs=True, cpu_shares=True,
    cpuset=True, pids_limit=True, seccomp=True,
)


def test_engine_id_stays(tmp_path: Path) -> None:
    first = info.engine_id(tmp_path)
    assert len(first) == 36 and info.engine_id(tmp_path) == first


def test_what_the_kernel_lacks_is_warned_of() -> None:
    warnings = list(info._warnings(Config(), Facts(cgroup_version=1, pids_limit=True)))
    assert "WARNING: No memory limit support" in warnings and "WARNING: No swap limit support" in warnings
    assert "WARNING: No pids limit support" not in warnings
    assert not [line for line in info._warnings(Config(), WHOLE) if " support" in line]


def test_oom_control_is_not_missed_with_cgroup_2() -> None:
    warnings = list(info._warnings(Config(), Facts(cgroup_version=2)))
    assert "WARNING: No oom kill disable support" not in warnings


def test_open_port_is_warned_of() -> None:
    config = Config(hosts=("unix:///x", "tcp://0.0.0.0:2375"))
    (warning,) = [line for line in info._warnings(config, WHOLE) if "API" in line]
    assert warning.startswith("WARNING: API is accessible on http://0.0.0.0:2375 without encryption.\n")
    unverified = Config(hosts=("tcp://0.0.0.0:2376",), tls=True, tlsverify=False)
    (warning,) = [line for line in info._warnings(unverified, WHOLE) if "API" in line]
    assert warning.startswith("WARNING: API is accessible on https://0.0.0.0:2376 without TLS client verification.\n")
    assert not [line for line in info._warnings(Config(hosts=unverified.hosts, tls=True), WHOLE) if "API" in line]


def test_security_options_name_their_profile() -> None:
    assert list(info._security(Config(), WHOLE)) == ["name=seccomp,profile=builtin"]
    options = list(info._security(Config(seccomp_profile="/p", no_new_privileges=True), Facts(2, seccomp=True)))
    assert options == ["name=seccomp,profile=/p", "name=cgroupns", "name=no-new-privileges"]


def test_runtimes_and_registries_are_listed() -> None:
    kata = Runtime(type="io.containerd.kata.v2", options={"a": 1})
    config = Config(
        runtimes={"runc": Runtime("runc"), "kata": kata}, insecure_registries=("10.0.0.0/8", "reg:5000"),
        registry_mirrors=("https://m/",),
    )
    shown = info._settings(config)
    assert shown["Runtimes"] == {
        "io.containerd.runc.v2": {"path": "runc"}, "runc": {"path": "runc"},
        "kata": {"runtimeType": "io.containerd.kata.v2", "options": {"a": 1}},
    }
    registry = shown["RegistryConfig"]
    assert registry["InsecureRegistryCIDRs"][-1] == "10.0.0.0/8" and registry["Mirrors"] == ["https://m/"]
    assert registry["IndexConfigs"]["reg:5000"]["Secure"] is False
