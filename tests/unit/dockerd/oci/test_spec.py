from pathlib import Path
from typing import Any

import pytest

from protos import errdefs
from protos.idmap import Mapping, Owners
from services.dockerd.oci import limits, mounts, security, spec, sysctls, tmpfs, verify
from services.dockerd.oci.user import User
from services.dockerd.schema.container import (
    ContainerConfig,
    DeviceMapping,
    HostConfig,
    Mount,
    MountTmpfs,
    Ulimit,
)
from services.dockerd.volumes import parse
from services.dockerd.volumes.mountpoint import MountPoint

ID = "ab" * 32


def given(config: ContainerConfig | None = None, host: HostConfig | None = None, **more: Any) -> spec.SpecInput:
    host = host or HostConfig()
    limits.adapt(host, shm_size=64 << 20, cgroupns_mode="")
    values = {"args": ["sh"], "user": User(), "hostname": "box", "netns_path": "/run/netns/x"} | more
    return spec.SpecInput(id=ID, config=config or ContainerConfig(), host=host, **values)


def build(config: ContainerConfig | None = None, host: HostConfig | None = None, **more: Any) -> dict[str, Any]:
    return spec.build(given(config, host, **more))


def kinds(document: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each.get("path", "") for each in document["linux"]["namespaces"]}


def options(document: dict[str, Any], destination: str) -> list[str]:
    return next(mount["options"] for mount in document["mounts"] if mount["destination"] == destination)


def test_plain_container_is_tight() -> None:
    document = build()
    linux = document["linux"]
    assert kinds(document) == {"mount": "", "network": "/run/netns/x", "uts": "", "pid": "", "ipc": ""}
    assert {"/proc/kcore", "/proc/keys", "/sys/firmware", "/sys/devices/virtual/powercap"} <= set(linux["maskedPaths"])
    assert "/proc/sys" in linux["readonlyPaths"] and linux["cgroupsPath"] == f"/docker/{ID}"
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO" and linux["devices"] == []
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert "ro" in options(document, "/sys") and "ro" in options(document, "/sys/fs/cgroup")
    assert "size=67108864" in options(document, "/dev/shm")
    assert not {"inheritable", "ambient"} & document["process"]["capabilities"].keys()
    assert "rootfsPropagation" not in linux and "hooks" not in document


OWNERS = Owners(Mapping.parse("0:100000:65536"), Mapping.parse("0:200000:65536"))


def test_remapped_container_has_its_own_users() -> None:
    document = build(netns_path="", defaults=spec.Defaults(owners=OWNERS))
    linux = document["linux"]
    assert kinds(document)["user"] == "" and kinds(document)["network"] == ""
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": 100000, "size": 65536}]
    assert linux["gidMappings"] == [{"containerID": 0, "hostID": 200000, "size": 65536}]
    assert "net.ipv4.ping_group_range" not in linux["sysctl"]


def test_remapped_containers_join_by_their_user_namespace() -> None:
    path = "/proc/7/ns/user"
    assert kinds(build(userns_path=path, defaults=spec.Defaults(owners=OWNERS)))["user"] == path


def test_hosts_users_can_be_chosen() -> None:
    document = build(host=HostConfig(UsernsMode="host"), defaults=spec.Defaults(owners=OWNERS))
    assert "user" not in kinds(document) and "uidMappings" not in document["linux"]


@pytest.mark.parametrize("host", [{"Privileged": True}, {"NetworkMode": "host"}, {"PidMode": "host"}])
def test_remapped_container_cannot_share_with_the_host(host: dict[str, Any]) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="user namespaces"):
        verify.verify(ContainerConfig(), HostConfig(**host), remaps=True)
    verify.verify(ContainerConfig(), HostConfig(**host, UsernsMode="host"), remaps=True)


def test_privileged_container_is_open() -> None:
    document = build(host=HostConfig(Privileged=True))
    linux = document["linux"]
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert any(device["path"] == "/dev/null" for device in linux["devices"])
    assert not any(device["path"].startswith(("/dev/pts/", "/dev/console", "/dev/shm")) for device in linux["devices"])
    assert "ro" not in options(document, "/sys") and "ro" not in options(document, "/sys/fs/cgroup")
    assert not {"seccomp", "maskedPaths", "readonlyPaths"} & linux.keys()


def test_environment_is_layered() -> None:
    config = ContainerConfig(Env=["A=1", "HOSTNAME=mine", "TERM"], Tty=True)
    env = build(config, env=["A=0", "LINK=x"])["process"]["env"]
    assert env[0].startswith("PATH=/usr/local/sbin:") and env[1:] == ["HOSTNAME=mine", "A=1", "LINK=x"]


def test_other_namespaces_are_joined() -> None:
    host = HostConfig(IpcMode="container:x", PidMode="container:y", CgroupnsMode="private")
    document = build(host=host, ipc_path="/proc/7/ns/ipc", pid_path="/proc/8/ns/pid", shm_path="/x/shm", netns_path="")
    assert kinds(document) | {"ipc": "/proc/7/ns/ipc", "pid": "/proc/8/ns/pid", "network": ""} == kinds(document)
    assert "cgroup" in kinds(document) and "time" not in kinds(document)
    shm = next(mount for mount in document["mounts"] if mount["destination"] == "/dev/shm")
    assert (shm["type"], shm["source"]) == ("bind", "/x/shm")


def test_host_namespaces_have_no_entry() -> None:
    host = HostConfig(NetworkMode="host", IpcMode="host", PidMode="host", UTSMode="host")
    document = build(host=host, netns_path=None, shm_path="/dev/shm")
    assert kinds(document) == {"mount": ""} and "hostname" not in document and "sysctl" not in document["linux"]


def test_no_shm_without_ipc() -> None:
    document = build(host=HostConfig(IpcMode="none"))
    assert "/dev/shm" not in {mount["destination"] for mount in document["mounts"]}


def test_mounts_replace_defaults_and_are_ordered() -> None:
    points = [parse.bind("/tmp:/a/b/c"), parse.bind("/dev:/dev"), parse.bind("/tmp:/a:ro"), parse.bind("/tmp:/sys")]
    document = build(mounts=points, files={"/etc/hosts": "/x/hosts", "/a": "/never"})
    destinations = [mount["destination"] for mount in document["mounts"]]
    assert destinations.index("/a") < destinations.index("/a/b/c") and destinations.count("/sys") == 1
    assert not [each for each in destinations if each.startswith("/dev/")]
    assert options(document, "/a") == ["rbind", "ro", "rprivate"]
    assert options(document, "/etc/hosts") == ["rbind", "rprivate"]


def test_read_only_is_recursive_where_known() -> None:
    point = parse.bind("/tmp:/a:ro")
    known = spec.Defaults(readonly_problem="")
    assert options(build(mounts=[point], defaults=known), "/a") == ["rbind", "ro", "rro", "rprivate"]
    forced = parse.mount(
        Mount.model_validate(
            {
                "Type": "bind",
                "Source": "/tmp",
                "Target": "/a",
                "ReadOnly": True,
                "BindOptions": {"ReadOnlyForceRecursive": True},
            }
        )
    )
    with pytest.raises(errdefs.InvalidArgument, match="rro is not supported"):
        build(mounts=[forced])


def test_read_only_root_keeps_kernel_mounts_writable() -> None:
    document = build(host=HostConfig(ReadonlyRootfs=True, Tmpfs={"/run": ""}), files={"/etc/hosts": "/x"})
    assert document["root"]["readonly"] and "ro" in options(document, "/etc/hosts")
    assert all("ro" not in options(document, path) for path in ("/proc", "/dev", "/dev/shm", "/run"))


def test_init_runs_first(tmp_path: Path) -> None:
    document = build(host=HostConfig(Init=True), defaults=spec.Defaults(init_path="/usr/bin/tini"))
    assert document["process"]["args"] == ["/sbin/docker-init", "--", "sh"]
    assert options(document, "/sbin/docker-init") == ["bind", "ro"]
    assert build(host=HostConfig(Init=True, PidMode="host"))["process"]["args"] == ["sh"]


@pytest.mark.parametrize(
    "cwd",
    [
        "/proc/self/fd/7",
        "/proc/self/fd",
        "/proc/1/cwd",
        "/proc/self/task/1/fd/8/x",
        "/dev/fd/7",
        "/a/../proc/self/fd/3",
    ],
)
def test_descriptor_as_directory_is_refused(cwd: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="working directory"):
        build(ContainerConfig(WorkingDir=cwd))
    with pytest.raises(errdefs.InvalidArgument, match="working directory"):
        spec.process(given(), spec.ExecInput(["sh"], User(), cwd=cwd))


def test_working_directory_is_cleaned() -> None:
    assert build(ContainerConfig(WorkingDir="/tmp/../etc/"))["process"]["cwd"] == "/etc"
    assert build()["process"]["cwd"] == "/"


def test_exec_inherits_from_container() -> None:
    container = given(
        ContainerConfig(Env=["A=1"], WorkingDir="/srv"), HostConfig(CapDrop=["ALL"], SecurityOpt=["no-new-privileges"])
    )
    process = spec.process(
        container, spec.ExecInput(["id"], User(1000, 1000, (1000,)), env=["B=2"], tty=True, console=(24, 80))
    )
    assert process["env"][-2:] == ["A=1", "B=2"] and "TERM=xterm" in process["env"] and process["cwd"] == "/srv"
    assert process["capabilities"] == {"bounding": []} and process["noNewPrivileges"]
    assert process["consoleSize"] == {"height": 24, "width": 80}
    privileged = spec.process(container, spec.ExecInput(["id"], User(), privileged=True))
    assert "CAP_SYS_ADMIN" in privileged["capabilities"]["effective"]


def test_ulimits_override_the_daemons() -> None:
    daemon = {"nofile": Ulimit(Name="nofile", Soft=1, Hard=2), "core": Ulimit(Name="core", Soft=0, Hard=-1)}
    host = HostConfig(Ulimits=[Ulimit(Name="nofile", Soft=10, Hard=20)])
    assert build(host=host, defaults=spec.Defaults(ulimits=daemon))["process"]["rlimits"] == [
        {"type": "RLIMIT_NOFILE", "soft": 10, "hard": 20},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": (1 << 64) - 1},
    ]


@pytest.mark.parametrize(
    ("parent", "defaults", "path"),
    [
        ("", spec.Defaults(), f"/docker/{ID}"),
        ("/foo/../bar", spec.Defaults(), f"/bar/{ID}"),
        ("", spec.Defaults(cgroup_parent="mine"), f"/mine/{ID}"),
        ("../../x", spec.Defaults(), f"/x/{ID}"),
        ("", spec.Defaults(systemd_cgroup=True), f"system.slice:docker:{ID}"),
        ("a.slice", spec.Defaults(systemd_cgroup=True), f"a.slice:docker:{ID}"),
    ],
)
def test_cgroup_has_its_parent(parent: str, defaults: spec.Defaults, path: str) -> None:
    assert spec.cgroup_path(ID, HostConfig(CgroupParent=parent), defaults) == path


def test_devices_are_mapped() -> None:
    host = HostConfig(
        Devices=[DeviceMapping(PathOnHost="/dev/null", PathInContainer="/dev/hole", CgroupPermissions="r")],
        DeviceCgroupRules=["c 42:* rwm", "a"],
    )
    linux = build(host=host)["linux"]
    assert [(each["path"], each["major"], each["minor"]) for each in linux["devices"]] == [("/dev/hole", 1, 3)]
    assert linux["resources"]["devices"][-3:] == [
        {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"},
        {"allow": True, "type": "c", "major": 42, "minor": -1, "access": "rwm"},
        {"allow": True, "type": "a", "major": -1, "minor": -1, "access": "rwm"},
    ]


@pytest.mark.parametrize("path", ["/dev/nosuch", "/etc/passwd"])
def test_missing_device_is_refused(path: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=f'while adding custom device "{path}"'):
        build(host=HostConfig(Devices=[DeviceMapping(PathOnHost=path)]))


@pytest.mark.parametrize("rule", ["x 1:2 r", "c 1:2", "c 1:2 rwx", "a 1:3 m", "c 99999:1 r", "c 1:2 r\n"])
def test_bad_device_rule_is_refused(rule: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="device cgroup rule format"):
        verify.verify(ContainerConfig(), HostConfig(DeviceCgroupRules=[rule]))


@pytest.mark.parametrize(
    ("options_", "expected"),
    [
        (["no-new-privileges"], {"no_new_privileges": True}),
        (["no-new-privileges=false"], {"no_new_privileges": False}),
        (["no-new-privileges:true"], {"no_new_privileges": True}),
        (["apparmor=unconfined", "seccomp:unconfined"], {"apparmor": "unconfined", "seccomp": "unconfined"}),
        (["label=disable", "label=level:s0"], {"labels": ("disable", "level:s0")}),
        (["systempaths=unconfined"], {"systempaths_unconfined": True}),
    ],
)
def test_security_options_are_parsed(options_: list[str], expected: dict[str, Any]) -> None:
    parsed = security.parse(options_)
    assert {key: getattr(parsed, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("foo", 'invalid --security-opt 1: "foo"'),
        ("foo=bar", 'invalid --security-opt 2: "foo=bar"'),
        ("no-new-privileges=maybe", "invalid --security-opt 2"),
        ("systempaths=all", "invalid --security-opt 2"),
    ],
)
def test_bad_security_option_is_refused(option: str, text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        security.parse([option])


def test_given_paths_are_taken() -> None:
    linux = build(host=HostConfig(MaskedPaths=[], ReadonlyPaths=["/x"]))["linux"]
    assert "maskedPaths" not in linux and linux["readonlyPaths"] == ["/x"]


def test_sysctls_need_a_namespace() -> None:
    host = HostConfig(Sysctls={"kernel.shmmax": "1", "net.ipv4.ip_forward": "1"}, IpcMode="private")
    chosen = sysctls.build(host, "dom")
    assert chosen | {"kernel.shmmax": "1", "net.ipv4.ip_forward": "1", "kernel.domainname": "dom"} == chosen
    assert chosen["net.ipv4.ip_unprivileged_port_start"] == "0"
    for wrong in (
        HostConfig(Sysctls={"net.x": "1"}, NetworkMode="host"),
        HostConfig(Sysctls={"kernel.sem": "1"}, IpcMode="host"),
        HostConfig(Sysctls={"vm.swappiness": "1"}),
        HostConfig(Sysctls={"kernel.core_pattern": "|/x"}),
    ):
        with pytest.raises(errdefs.InvalidArgument, match="namespace"):
            sysctls.build(wrong, "")


def test_tmpfs_options_are_merged() -> None:
    assert tmpfs.merge(["rw", "exec", "size=1m", "size=2m"]) == ["nosuid", "nodev", "rprivate", "rw", "exec", "size=2m"]
    assert tmpfs.from_mount(MountTmpfs(SizeBytes=3 << 20, Mode=0o1700), read_only=True) == [
        "ro",
        "mode=1700",
        "size=3m",
    ]
    with pytest.raises(errdefs.InvalidArgument, match=r'invalid tmpfs option \["bar" "1"\]'):
        tmpfs.merge(["bar=1", "foo"])


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (HostConfig(IpcMode="foo"), "invalid IPC mode: foo"),
        (HostConfig(PidMode="container:"), "invalid PID mode: container:"),
        (HostConfig(UTSMode="container:x"), "invalid UTS mode: container:x"),
        (HostConfig(CgroupnsMode="x"), "invalid cgroup namespace mode: x"),
        (HostConfig(ShmSize=-1), "SHM size can not be less than 0"),
        (HostConfig(OomScoreAdj=1001), r"Invalid value 1001, range for oom score adj is \[-1000, 1000\]"),
        (HostConfig(CapAdd=["x"]), 'invalid CapAdd: unknown capability: "CAP_X"'),
        (HostConfig(Ulimits=[Ulimit(Name="nofile", Soft=5, Hard=2)]), "soft limit must be less than or equal to hard"),
    ],
)
def test_bad_host_config_is_refused(host: HostConfig, text: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=text):
        verify.verify(ContainerConfig(), host)


def test_shared_bind_needs_shared_mount() -> None:
    private = MountPoint("bind", "/x", "/proc", propagation="rshared")
    with pytest.raises(errdefs.InvalidArgument, match="path /proc is mounted on /proc but it is not a shared mount"):
        mounts.rootfs_propagation([private])
