"""A tree of thousands of directories beneath each other, which a container makes in a second: every verb copes with it.

Longer than a path may be, deeper than Python recurses: what walks it, packs it, unpacks it and removes it.
"""

import tarfile
from pathlib import Path

import pytest

from tests.harness.check import settled
from tests.harness.engine import Engine
from tests.harness.wait import until

pytestmark = [pytest.mark.ours, pytest.mark.limit(150)]
STEP = "cd $0; p=$(printf 'd/%.0s' $(seq 500)); for i in $(seq $1); do"
DIG = f"{STEP} mkdir -p $p; cd -P $p || exit 1; done; echo treasure > leaf; dd if=/dev/zero of=large bs=1M count=3"
FIND = f"{STEP} cd -P $p || exit 1; done; cat leaf"
MEGABYTES = "3.1"


def leaf(steps: int) -> str:
    return "d/" * (500 * steps) + "leaf"


@pytest.mark.parametrize("steps", [3, 6])
def test_deep_container_is_listed_packed_and_removed(engine: Engine, tmp_path: Path, steps: int) -> None:
    docker = engine.docker
    docker.ok("run", "--name", "deep", "busybox", "sh", "-c", DIG, "/tmp", str(steps))
    try:
        listed = docker.ok("diff", "deep").splitlines()
        assert f"A /tmp/{leaf(steps)}" in listed and len(listed) == 500 * steps + 3
        assert MEGABYTES in docker.ok("ps", "-as", "--filter", "name=deep", "--format", "{{.Size}}")
        rows = engine.api.get("/system/df?type=container")["Containers"]
        assert next(row for row in rows if row["Names"] == ["/deep"])["SizeRw"] >= 3 << 20
        docker.ok("export", "-o", str(tmp_path / "exported"), "deep")
        docker.ok("cp", "deep:/tmp/d", "-")
        with tarfile.open(tmp_path / "exported") as archive:
            assert f"tmp/{leaf(steps)}" in archive.getnames()
        if steps < 4:
            docker.ok("commit", "deep", "deep:1")
            assert docker.ok("run", "--rm", "deep:1", "sh", "-c", FIND, "/tmp", str(steps)) == "treasure"
            docker.ok("rmi", "deep:1")
            settled(engine)
        else:
            assert "longer than the 4096 bytes that a layer can hold" in docker.fails("commit", "deep", "deep:1")
    finally:
        docker("rm", "-f", "deep")
        docker("rmi", "-f", "deep:1")


def test_deep_volume_is_weighed_and_removed(engine: Engine) -> None:
    docker = engine.docker
    docker.ok("run", "--rm", "-v", "deep:/v", "busybox", "sh", "-c", DIG, "/v", "6")
    place = Path(docker.ok("volume", "inspect", "-f", "{{.Mountpoint}}", "deep"))
    volumes = engine.api.get("/system/df?type=volume")["Volumes"]
    assert next(each for each in volumes if each["Name"] == "deep")["UsageData"]["Size"] >= 3 << 20
    docker.ok("volume", "rm", "deep")
    until(lambda: not any(place.parents[1].glob(".gone-*")) or None, "nothing is left of the volume")
