"""Who makes the containers' control groups: the runtime by itself (cgroupfs), or systemd; and the group they lie in.

With cgroupfs that is /docker, made by the runtime, removed at the end; with systemd a slice, which is systemd's.
"""

import contextlib
from pathlib import Path
from typing import Final

from protos.errdefs import InvalidArgument
from services.dockerd import flags
from services.dockerd.config import Config
from services.dockerd.oci.facts import facts

PARENT: Final = "docker"
ROOT: Final = Path("/sys/fs/cgroup")
SYSTEMD: Final = Path("/run/systemd/system")
"""There where systemd runs the machine."""


def by_systemd(config: Config) -> bool:
    """As the first --exec-opt says, as in Docker; without any, with cgroup v2 where systemd runs."""
    options = [option.partition("=")[2] for option in config.exec_opts if flags.is_cgroup_driver(option)]
    if options and options[0]:
        return options[0] == "systemd"
    return facts().cgroup_version == 2 and SYSTEMD.is_dir()


def check(config: Config) -> None:
    """InvalidArgument for a --cgroup-parent that the driver cannot take."""
    if config.cgroup_parent and by_systemd(config):
        check_slice(config.cgroup_parent)


def check_slice(parent: str) -> None:
    if not parent.endswith(".slice") or parent == ".slice":
        raise InvalidArgument('cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"')


def remove_parent(root: Path = ROOT) -> None:
    """Remove /docker of every hierarchy, unless something is in it. A `--cgroup-parent` is the administrator's."""
    for hierarchy in (root, *root.iterdir()):
        with contextlib.suppress(OSError):
            (hierarchy / PARENT).rmdir()
