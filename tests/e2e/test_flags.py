"""What the daemon's options do, seen from outside; each test once with all of them as flags, once in daemon.json."""

import json
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import loop, told
from tests.harness.engine import REFERENCE, Engine, binary

Fresh = Callable[..., Engine]

GROUP = 4711
SECCOMP = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}
MIRRORS = '[host."https://near.example"]\n  capabilities = ["pull"]\n'


def options(root: Path) -> list[told.Row]:
    shared: list[told.Row] = [
        (("-D",), "debug", True),
        (("--label", "a=b", "--label=c=d"), "labels", ["a=b", "c=d"]),
        (("--default-shm-size", "32m"), "default-shm-size", "32m"),
        (("--default-ulimit=nofile=1000:2000",), "default-ulimits",
         {"nofile": {"Name": "nofile", "Soft": 1000, "Hard": 2000}}),
        (("--default-ipc-mode=shareable",), "default-ipc-mode", "shareable"),
        (("--default-cgroupns-mode", "private"), "default-cgroupns-mode", "private"),
        (("--init",), "init", True),
        (("--init-path", str(root / "our-init")), "init-path", str(root / "our-init")),
        (("--no-new-privileges",), "no-new-privileges", True),
        (("--seccomp-profile", str(root / "seccomp.json")), "seccomp-profile", str(root / "seccomp.json")),
        (("--oom-score-adjust", "123"), "oom-score-adjust", 123),
        (("-G", str(GROUP)), "group", str(GROUP)),
        (("--live-restore",), "live-restore", True),
        (("--raw-logs",), "raw-logs", True),
        (("--containerd-namespace=mine",), "containerd-namespace", "mine"),
        (("--insecure-registry=10.2.0.0/16", "--insecure-registry", "reg.example:5000"), "insecure-registries",
         ["10.2.0.0/16", "reg.example:5000"]),
        (("--registry-mirror=https://one.example", "--registry-mirror=http://two.example"), "registry-mirrors",
         ["https://one.example", "http://two.example"]),
        (("--userland-proxy-path", str(root / "proxy")), "userland-proxy-path", str(root / "proxy")),
        (("--storage-opt", "overlay2.override_kernel_check=true"), "storage-opts",
         ["overlay2.override_kernel_check=true"]),
        (("--exec-opt", "native.cgroupdriver=cgroupfs", "--exec-opt=isolation=hyperv"), "exec-opts",
         ["native.cgroupdriver=cgroupfs", "isolation=hyperv"]),
        (("--log-opt", "max-size=3m", "--log-opt=max-file=2"), "log-opts", {"max-size": "3m", "max-file": "2"}),
    ]
    ours: list[told.Row] = [
        (("--log-format=json",), "log-format", "json"),
        (("--min-api-version", "1.30"), "min-api-version", "1.30"),
        (("--http-proxy=http://me:secret@p.test:3128", "--https-proxy=http://127.0.0.1:2", "--no-proxy=localhost"),
         "proxies",
         {"http-proxy": "http://me:secret@p.test:3128", "https-proxy": "http://127.0.0.1:2", "no-proxy": "localhost"}),
        (("--registry-config", str(root / "certs.d")), "registry-config", str(root / "certs.d")),
        (("--cluster-store=etcd://10.0.0.9:2379/docker", "--cluster-advertise=lo:2376"), "",
         {"cluster-store": "etcd://10.0.0.9:2379/docker", "cluster-advertise": "lo:2376"}),
        (("--cluster-store-opt", "discovery.heartbeat=20"), "cluster-store-opts", {"discovery.heartbeat": "20"}),
        (("--containerd-plugins-namespace=theirs",), "containerd-plugin-namespace", "theirs"),
        (("--feature=cdi=false",), "features", {"cdi": False}),
        (("--experimental", "--disable-legacy-registry"), "", {"experimental": True, "disable-legacy-registry": True}),
    ]
    return shared if REFERENCE else shared + ours


@pytest.fixture(scope="module", params=told.BY)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    made = Engine()
    try:
        prepare(made.root)
        made.start(*told.words(request.param, options(made.root), made.root / "daemon.json"))
        made.load()
        yield made
    finally:
        made.close()


def prepare(root: Path) -> None:
    """The files that options name."""
    init = shutil.which("tini-static") or shutil.which("docker-init")
    assert init, "no init: apt-get install tini"
    shutil.copy(init, root / "our-init")
    (root / "seccomp.json").write_text(json.dumps(SECCOMP))
    (root / "proxy").write_text(f'#!/bin/sh\necho "$@" >>{root}/asked\nexec docker-proxy "$@"\n')
    (root / "proxy").chmod(0o755)
    (root / "certs.d/other.example").mkdir(parents=True)
    (root / "certs.d/other.example/hosts.toml").write_text(MIRRORS)


def test_defaults_of_containers(engine: Engine) -> None:
    docker = engine.docker
    script = (
        "cat /proc/1/comm; ulimit -n; ulimit -Hn; df /dev/shm | tail -1; grep NoNewPrivs /proc/self/status; "
        "readlink /proc/self/ns/cgroup; mkdir /x"
    )
    result = docker("run", "--name", "box", "busybox", "sh", "-c", script)
    init, soft, hard, shm, privileges, cgroup = result.lines
    assert init == "docker-init"
    assert (soft, hard) == ("1000", "2000")
    assert shm.split()[1] == str(32 << 10)
    assert privileges.split()[1] == "1"
    assert cgroup != str(Path("/proc/self/ns/cgroup").readlink())
    assert "Operation not permitted" in result.err
    described = json.loads(docker.inspect("box", "{{json .HostConfig}}"))
    assert (described["IpcMode"], described["CgroupnsMode"]) == ("shareable", "private")
    assert described["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "3m", "max-file": "2"}}
    docker.ok("rm", "box")


def test_a_container_may_say_otherwise(engine: Engine) -> None:
    out = engine.docker.ok(
        "run", "--rm", "--init=false", "--ulimit", "nofile=50:60", "--shm-size", "16m", "--security-opt",
        "seccomp=unconfined", "--cgroupns", "host", "busybox", "sh", "-c",
        "mkdir /x; cat /proc/1/comm; ulimit -n; df /dev/shm | tail -1; readlink /proc/self/ns/cgroup",
    ).splitlines()
    assert out[0] != "docker-init" and out[1] == "50" and out[2].split()[1] == str(16 << 10)
    assert out[3] == str(Path("/proc/self/ns/cgroup").readlink())


def test_shown_by_info(engine: Engine) -> None:
    info = engine.api.get("/info")
    assert info["Debug"] is True and info["LiveRestoreEnabled"] is True
    assert sorted(info["Labels"]) == ["a=b", "c=d"]
    assert info["InitBinary"] == str(engine.root / "our-init")
    registries = info["RegistryConfig"]
    assert {"10.2.0.0/16", "127.0.0.0/8"} <= set(registries["InsecureRegistryCIDRs"])
    assert registries["IndexConfigs"]["reg.example:5000"]["Secure"] is False
    assert [each.rstrip("/") for each in registries["Mirrors"]] == ["https://one.example", "http://two.example"]
    text = engine.docker.ok("info")
    for line in ("Debug Mode: true", "10.2.0.0/16", "https://one.example/", " a=b", "Live Restore Enabled: true"):
        assert line in text


def test_seen_in_the_kernel(engine: Engine) -> None:
    assert Path(f"/proc/{engine.pid}/oom_score_adj").read_text().strip() == "123"
    assert engine.socket.stat().st_gid == GROUP and engine.socket.stat().st_mode & 0o777 == 0o660
    docker = engine.docker
    docker.ok("run", "-d", "--name", "box", "busybox", "sleep", "600")
    pid = docker.inspect("box", "{{.State.Pid}}")
    assert f"/{engine.name}/" in Path(f"/proc/{pid}/cgroup").read_text()
    docker.ok("rm", "-f", "box")


def test_ports_are_published_by_our_proxy(engine: Engine) -> None:
    engine.docker.ok("run", "-d", "--name", "box", "-p", "8098:80", "busybox", "httpd", "-f")
    assert "-container-port 80" in (engine.root / "asked").read_text()
    engine.docker.ok("rm", "-f", "box")


def test_the_storage_driver_has_its_option(engine: Engine) -> None:
    assert engine.docker.ok("info", "-f", "{{.Driver}}") == "overlay2"
    if not REFERENCE:  # which does not say so
        assert "the overlay2.override_kernel_check option is ignored and will be removed" in engine.log.read_text()


def test_the_first_driver_of_cgroups_holds(engine: Engine) -> None:
    """An option that is none on Linux is let pass."""
    assert engine.docker.ok("info", "-f", "{{.CgroupDriver}}") == "cgroupfs"
    if not REFERENCE:  # which does not say so
        assert "--exec-opt isolation=hyperv has no effect" in engine.log.read_text()


def test_containers_are_in_their_namespace_of_containerd(engine: Engine) -> None:
    identity = engine.docker.ok("run", "-d", "busybox", "sleep", "600")
    words = ["ctr", "-a", str(engine.exec / "containerd/containerd.sock"), "-n", "mine", "tasks", "ls", "-q"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=True)
    assert identity in done.stdout.split()
    engine.docker.ok("rm", "-f", identity)


def test_the_log_has_no_colours(engine: Engine) -> None:
    assert "\x1b" not in engine.log.read_text()


@pytest.mark.ours
def test_the_log_is_json(engine: Engine) -> None:
    entries = [json.loads(line) for line in engine.log.read_text().splitlines() if line.startswith("{")]
    assert any("completed initialization" in entry["msg"] and entry["level"] == "info" for entry in entries)
    assert any(entry["level"] == "debug" for entry in entries)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"]) for entry in entries)


@pytest.mark.ours
def test_the_lowest_version_is_served(engine: Engine) -> None:
    for path in ("/v1.29/_ping", "/v1.29/info", "/v1.29/containers/json"):
        reply = engine.api("GET", path)
        assert reply.status == 400 and b"Minimum supported API version is 1.30" in reply.body
    assert engine.api("GET", "/v1.30/_ping").status == 200
    assert engine.api.get("/version")["MinAPIVersion"] == "1.30"


@pytest.mark.ours
def test_proxies_are_shown_without_their_password_and_handed_on(engine: Engine) -> None:
    info = engine.api.get("/info")
    assert (info["HttpProxy"], info["NoProxy"]) == ("http://xxxxx:xxxxx@p.test:3128", "localhost")
    assert info["HttpsProxy"] == "http://127.0.0.1:2"
    assert "secret" not in engine.docker.ok("info")
    assert b"HTTP_PROXY=http://me:secret@" in Path(f"/proc/{engine.containerd()}/environ").read_bytes()
    assert "secret" not in engine.docker.ok("run", "--rm", "busybox", "env")
    words = [f"--log-opt=splunk-{each}" for each in ("url=https://splunk.example", "token=t")]
    said = engine.docker.fails("run", "--rm", "--log-driver=splunk", *words, "busybox", "true", code=125)
    assert "proxyconnect tcp: dial tcp 127.0.0.1:2: connect: connection refused" in said


@pytest.mark.ours
def test_mirrors_of_any_registry_are_listed(engine: Engine) -> None:
    found = engine.api.get("/info")["RegistryConfig"]["IndexConfigs"]["other.example"]
    assert (found["Mirrors"], found["Secure"]) == (["https://near.example"], True)


@pytest.mark.ours
def test_a_cluster_store_is_shown_and_its_networks_are_not_there(engine: Engine) -> None:
    info = engine.api.get("/info")
    assert info["ClusterStore"] == "etcd://10.0.0.9:2379/docker"
    assert info["ClusterAdvertise"] == "127.0.0.1:2376", "the interface's address"
    assert "etcd://10.0.0.9:2379/docker" in engine.docker("info").err, "among the warnings"
    reply = engine.api("POST", "/networks/create", {"Name": "wide", "Driver": "overlay"})
    assert reply.status == 501


@pytest.mark.ours
def test_namespaces_and_notes(engine: Engine) -> None:
    assert engine.api.get("/info")["Containerd"]["Namespaces"] == {"Containers": "mine", "Plugins": "theirs"}
    log = engine.log.read_text()
    assert "--experimental has no effect: " in log and "--disable-legacy-registry has no effect: " in log


class Filed(Engine):
    """Told everything by daemon.json: no flag but its name, so that the keys of what every other test has as flags are
    seen to work."""

    def command(self, *flags: str) -> list[str]:
        document = {
            "data-root": str(self.data), "exec-root": str(self.exec), "pidfile": str(self.pidfile),
            "hosts": [f"unix://{self.socket}"], "cgroup-parent": f"/{self.name}", "log-level": "error",
            "metrics-addr": "127.0.0.1:9323", "storage-driver": "vfs", "iptables": False, "ip-forward": False,
        }
        (self.root / "daemon.json").write_text(json.dumps(document))
        return self.network.command(binary(self.reference), "--config-file", str(self.root / "daemon.json"), *flags)


def test_a_daemon_may_be_told_everything_by_its_file() -> None:
    engine = Filed()
    try:
        engine.start()
        engine.load()
        docker, info = engine.docker, engine.api.get("/info")
        assert (info["DockerRootDir"], info["Driver"], info["IPv4Forwarding"]) == (str(engine.data), "vfs", False)
        assert (engine.exec / "containerd").is_dir() and int(engine.pidfile.read_text()) == engine.pid
        box = docker.ok("run", "-d", "busybox", "httpd", "-f").splitlines()[0]
        pid = docker.inspect(box, "{{.State.Pid}}")
        assert f"/{engine.name}/" in Path(f"/proc/{pid}/cgroup").read_text()
        assert b"DOCKER" not in engine.network.run("iptables-save").stdout
        assert b"engine_daemon_engine" in engine.network.run("curl", "-s", "127.0.0.1:9323/metrics").stdout
        assert "API listen on" not in engine.log.read_text(), "which is of level info"
        assert engine.stop() == 0
        assert not engine.pidfile.exists()
    finally:
        engine.close()


def test_the_sample_file_is_taken(fresh: Fresh) -> None:
    """deploy/daemon.json, but for the data root, which the harness names."""
    sample = json.loads((Path(__file__).parents[2] / "deploy/daemon.json").read_text())
    del sample["data-root"]
    limit = sample["default-ulimits"]["nofile"]
    limit["Hard"] = min(limit["Hard"], resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    engine = fresh(start=False)
    (engine.root / "daemon.json").write_text(json.dumps(sample))
    engine.start("--config-file", str(engine.root / "daemon.json"))
    engine.load()
    assert engine.api.get("/info")["LiveRestoreEnabled"] is True
    assert engine.docker.ok("run", "--name", "box", "busybox", "sh", "-c", "ulimit -n") == "1024"
    assert engine.docker.inspect("box", '{{index .HostConfig.LogConfig.Config "max-size"}}') == "10m"


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--max-concurrent-downloads", "-1"], "invalid max concurrent downloads: -1"),
        (["--log-level", "loud"], "loud"),
        (["--default-ipc-mode", "x"], 'efault IPC mode setting (x) is invalid; use "shareable" or "private"'),
        (["--default-cgroupns-mode", "x"], 'efault cgroup namespace mode (x) is invalid; use "host" or "private"'),
        (["--default-ulimit", "bogus=1"], "invalid ulimit type: bogus"),
        (["--default-shm-size", "x"], "invalid size: 'x'"),
        (["--label", "x"], "bad attribute format: x"),
        (["--dns-search", "a_b"], "a_b is not a valid domain"),
        (["--default-address-pool", "base=10.0.0.0/8,size=4"], "invalid pools size: 4"),
        (["--label", "a=1", "--label", "a=2"], "conflict labels"),
        (["--registry-mirror", "ftp://x"], 'unsupported scheme "ftp" in "ftp://x"'),
        (["--insecure-registry", "-x"], "invalid index name (-x). Cannot begin or end with a hyphen"),
        (["--seccomp-profile", "/no/such"], "opening seccomp profile (/no/such) failed: open /no/such: no such file"),
        (["--graph", "/a", "--data-root", "/b"], 'cannot specify both "--graph" and "--data-root" option'),
    ],
)
def test_values_that_cannot_be_are_refused(fresh: Fresh, flags: list[str], text: str) -> None:
    if REFERENCE and flags[0] in ("--graph",):
        pytest.skip("the harness names the data root by --data-root already")
    code, out = fresh(start=False).fails_to_start(*flags)
    assert code != 0 and text in out


@pytest.mark.ours
@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--userland-proxy-path", "/no/such"], "/no/such of --userland-proxy-path"),
        (["--api-cors-header", "*"], "--api-cors-header has been removed: use a reverse proxy"),
        (["--rootless"], "--rootless is not supported"),
        (["--cri-containerd"], "--cri-containerd is not supported"),
        (["--cluster-advertise", "eth0:1"], "must be accompanied by --cluster-store"),
        (["--cluster-store", "etcd://h:1", "--cluster-advertise", "nosuch0:1"], "interface name (nosuch0:1)"),
        (["--min-api-version", "1.1"], "minimum supported API version is 1.24: 1.1"),
        (["--log-format", "xml"], "invalid log format: xml"),
        (["--cluster-store-opt", "x"], "invalid key=value pair: x"),
        (["--pidfile", "/dev/null/pid"], "failed to start daemon: --pidfile /dev/null/pid: "),
        (["--data-root", "/dev/null/data"], "failed to start daemon: --data-root /dev/null/data: Not a directory"),
        (["--group", "no-such"], "failed to load listeners: group no-such not found"),
        (["--tls", "--tlscert", "/no/such"], "invalid TLS configuration: could not load X509 key pair"),
        (["-H", "tcp://192.0.2.1:2375"], "listen tcp 192.0.2.1:2375: bind: cannot assign requested address"),
        (["--metrics-addr", "192.0.2.1:2375"], "listen tcp 192.0.2.1:2375: bind: cannot assign requested address"),
    ],
)
def test_what_is_refused_here(fresh: Fresh, flags: list[str], text: str) -> None:
    engine = fresh(start=False)
    code, out = engine.fails_to_start(*flags)
    assert code != 0 and text in out
    assert not (engine.data / "containerd").exists(), "nothing is started for it"
    assert not engine.socket.exists()


@pytest.mark.skipif(bool(loop.missing("btrfs")), reason=loop.missing("btrfs"))
@pytest.mark.parametrize("by", told.BY)
def test_options_of_a_storage_driver(fresh: Fresh, by: str) -> None:
    """One that has an effect to be seen from outside, on a file system that is made for it."""
    engine = fresh(start=False)
    rows: list[told.Row] = [
        (("-s", "btrfs"), "storage-driver", "btrfs"),
        (("--storage-opt=btrfs.min_space=64m",), "storage-opts", ["btrfs.min_space=64m"]),
    ]
    with loop.mounted("btrfs", engine.data):
        engine.start(*told.words(by, rows, engine.root / "daemon.json"))
        engine.load()
        run = ("create", "--storage-opt", "size=63m", "busybox", "true")
        assert "storage size cannot be less than 67.11MB" in engine.docker.fails(*run)
        engine.docker.ok(*(word.replace("63m", "64m") for word in run))
        engine.stop()


@pytest.mark.ours
@pytest.mark.parametrize("by", told.BY)
@pytest.mark.parametrize(
    ("flag", "key", "value", "text"),
    [
        ("--selinux-enabled", "selinux-enabled", True, "SELinux"),
        ("--group=no-such-group", "group", "no-such-group", "no-such-group"),
        ("--userns-remap=no-such-user", "userns-remap", "no-such-user", 'uid lookup for "no-such-user"'),
        ("--seccomp-profile={root}/bad", "seccomp-profile", "{root}/bad", "Decoding seccomp profile failed: "),
        ("--authorization-plugin=nobody", "authorization-plugins", ["nobody"], "nobody"),
    ],
)
def test_what_turns_out_at_the_start(fresh: Fresh, by: str, flag: str, key: str, value: Any, text: str) -> None:
    engine = fresh(start=False)
    (engine.root / "bad").write_text("{broken")
    root = str(engine.root)
    row = (flag.replace("{root}", root),), key, json.loads(json.dumps(value).replace("{root}", root))
    code, out = engine.fails_to_start(*told.words(by, [row], engine.root / "daemon.json"))
    assert code != 0 and text in out


class Graphed(Engine):
    """Its data root has the name of old."""

    by = ""

    def command(self, *flags: str) -> list[str]:
        words = super().command(*flags)
        place = words.index("--data-root")
        row = (f"-g={self.data}",), "graph", str(self.data)
        return [*words[:place], *words[place + 2 :], *told.words(self.by, [row], self.root / "daemon.json")]


@pytest.mark.parametrize("by", told.BY)
def test_the_old_name_of_the_data_root_works_and_says_so(by: str) -> None:
    engine = Graphed()
    engine.by = by
    with engine:
        assert engine.api.get("/info")["DockerRootDir"] == str(engine.data)
        box = engine.docker.ok("create", "busybox")
        assert (engine.data / "containers" / box / "config.v2.json").exists()
        log = engine.log.read_text()
        what = "Flag --graph" if by == "flags" else 'The "graph" key of the configuration file'
        assert "deprecated" in log and "data-root" in log
        assert REFERENCE or f"{what} has been deprecated, Please use" in log
        engine.stop()
