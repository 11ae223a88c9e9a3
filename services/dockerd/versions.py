"""Which programs this engine is made of, and their versions: for `docker version` and `docker info`.

Programs are asked once; docker-containerd at each request, with what it last said where it is just restarting.
"""

import asyncio
import logging
import platform
import re
import sys
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import empty_pb2

from protos.errdefs import EngineError
from services.dockerd import requirements, rules
from services.dockerd.config import Config
from services.dockerd.metrics import meter
from services.dockerd.release import BUILD, NEWEST, VERSION
from services.dockerd.remote.client import Client

log = logging.getLogger("versions")

PATIENCE: Final = 2.0
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


@dataclass(frozen=True, slots=True)
class Program:
    version: str = "N/A"
    commit: str = "N/A"


_known: dict[str, Program] = {}
"""What each program said, by path; `containerd` by its own name."""


def arch() -> str:
    """This machine in Go's words."""
    return _MACHINES.get(platform.machine(), platform.machine())


async def containerd(client: Client) -> Program:
    try:
        answer = await client.call(client.version.Version, empty_pb2.Empty(), timeout=PATIENCE)
        _known["containerd"] = Program(answer.version, answer.revision)
    except EngineError as error:
        log.warning("docker-containerd does not tell its version error=%s", error)
    return _known.get("containerd", Program())


async def runtime(config: Config) -> Program:
    """The default OCI runtime: `runc version 1.1.5`, `commit: v1.1.5-0-gf19387a6`."""
    return await _ask(config.runtime.program) if config.runtime.program else Program()


async def init(config: Config) -> Program:
    """docker-init: `tini version 0.19.0 - git.de40ad0`."""
    path = requirements.init_program(config)
    return await _ask(path) if path else Program()


async def _ask(path: str) -> Program:
    if path not in _known:
        try:
            process = await asyncio.create_subprocess_exec(
                path, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(PATIENCE):
                output, _ = await process.communicate()
        except (OSError, TimeoutError) as error:
            log.warning("%s does not tell its version error=%s", path, error)
            return Program()
        _known[path] = parse(output.decode(errors="replace"))
    return _known[path]


def parse(text: str) -> Program:
    """Version and commit out of what a program prints for `--version`."""
    version = re.search(r"version:?\s+v?(\S+)", text)
    commit = re.search(r"(?:^commit:\s*|git\.)(\S+)", text, re.MULTILINE)
    return Program(version[1] if version else "", commit[1] if commit else "")


@meter.timed("host_info_functions", "system_version")
async def version(config: Config, client: Client) -> dict[str, Any]:
    """The reply of GET /version."""
    daemon, runc, tini = await asyncio.gather(containerd(client), runtime(config), init(config))
    lowest = rules.api_version(config.min_api_version)
    newest, oldest = (f"{major}.{minor}" for major, minor in (NEWEST, lowest))
    common = {
        "ApiVersion": newest, "MinAPIVersion": oldest, "GitCommit": BUILD, "Os": "linux", "Arch": arch(),
        "GoVersion": f"python{platform.python_version()}", "KernelVersion": platform.release(), "BuildTime": "",
    }
    details = {**common, "Experimental": "false"}
    others = (("containerd", daemon), (config.default_runtime, runc), ("docker-init", tini))
    return {
        "Platform": {"Name": f"Docker Engine on {sys.implementation.name} {platform.python_version()}"},
        "Components": [
            {"Name": "Engine", "Version": VERSION, "Details": details},
            *({"Name": name, "Version": each.version, "Details": {"GitCommit": each.commit}} for name, each in others),
        ],
        "Version": VERSION,
        **common,
    }
