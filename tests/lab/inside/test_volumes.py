"""Volumes that want more of the kernel than most have: sizes by project quotas, a live NFS server."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import loop
from tests.harness.engine import Engine
from tests.lab.inside.test_devicemapper import said

SERVE = """
set -e
modprobe nfsd
mount -t nfsd nfsd /proc/fs/nfsd
echo "$1 *(rw,fsid=0,no_root_squash,insecure,no_subtree_check)" >/etc/exports
exportfs -ra
rpc.mountd -N 3
for each in nfsv4leasetime nfsv4gracetime; do echo 10 >/proc/fs/nfsd/$each; done  # the first open waits for it
rpc.nfsd -N 3 2
"""
STOP = "rpc.nfsd 0; exportfs -ua; umount /proc/fs/nfsd"


@pytest.fixture
def on_xfs() -> Iterator[Engine]:
    engine = Engine()
    try:
        with loop.mounted("xfs", engine.data, options="loop,pquota"):
            engine.start()
            engine.load()
            yield engine
            engine.stop()
    finally:
        engine.close()


def test_size_of_a_volume_is_kept(on_xfs: Engine) -> None:
    docker = on_xfs.docker
    docker.ok("volume", "create", "-o", "size=10m", "small")
    docker.ok("volume", "create", "free")
    write = ["busybox", "dd", "if=/dev/zero", "bs=1M", "count=20"]
    assert "No space left" in docker.fails("run", "--rm", "-v", "small:/v", *write, "of=/v/f")
    assert (on_xfs.data / "volumes/small/_data/f").stat().st_size <= 10 << 20
    docker.ok("run", "--rm", "-v", "free:/v", *write, "of=/v/f")
    df = docker.ok("run", "--rm", "-v", "small:/v", "busybox", "df", "-k", "/v").splitlines()[-1].split()
    assert int(df[1]) == 10 << 10
    on_xfs.restart()
    assert "No space left" in docker.fails("run", "--rm", "-v", "small:/v", *write, "of=/v/g")
    docker.ok("volume", "create", "-o", "size=40m", "larger")
    docker.ok("run", "--rm", "-v", "larger:/v", *write, "of=/v/f")
    assert docker.ok("volume", "inspect", "-f", "{{.Options.size}}", "small") == "10m"
    docker.ok("volume", "rm", "small", "larger", "free")


def test_a_served_directory_is_mounted(fresh: Callable[..., Engine], name: str, tmp_path: Path) -> None:
    """NFS: the kernel's server in the engine's own network, version 4, which needs one port and no other daemon."""
    said("modprobe", "-a", "nfs", "nfsv4")
    shared = tmp_path / "shared"
    shared.mkdir()
    engine = fresh()
    docker = engine.docker
    subprocess.run(engine.network.command("sh", "-c", SERVE, "sh", str(shared)), check=True)
    try:
        options = ["-o", "type=nfs", "-o", "o=addr=127.0.0.1,rw,nfsvers=4.2", "-o", "device=:/"]
        docker.ok("volume", "create", *options, "served")
        docker.ok("run", "-d", "--name", name, "-v", "served:/v", "busybox", "sleep", "600")
        docker.ok("exec", name, "sh", "-c", "echo hi >/v/f; mkdir /v/d; ln -s f /v/l")
        assert (shared / "f").read_text() == "hi\n"
        (shared / "d/back").write_text("there")
        docker.ok("cp", f"{name}:/v/d/back", str(tmp_path / "back"))
        assert (tmp_path / "back").read_text() == "there"
        kind = docker.ok("exec", name, "grep", " /v ", "/proc/mounts").split()
        assert kind[2] == "nfs4" and "addr=127.0.0.1" in kind[3]
        place = docker.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "served")
        assert docker.ok("run", "--rm", "-v", "served:/w:ro", "busybox", "cat", "/w/l") == "hi"
        assert f" {place} " in Path("/proc/self/mountinfo").read_text()
        docker.ok("rm", "-f", name)
        assert f" {place} " not in Path("/proc/self/mountinfo").read_text()
        docker.ok("volume", "create", "-o", "type=nfs", "-o", "o=addr=127.0.0.1,nfsvers=4.2", "-o", "device=:/no", "no")
        told = docker.fails("run", "--rm", "-v", "no:/v", "busybox", "true")
        assert "failed to mount local volume: mount :/no:" in told and "no such file or directory" in told
        docker.ok("volume", "rm", "served", "no")
    finally:
        subprocess.run(engine.network.command("sh", "-c", STOP), check=True)
    engine.stop()
