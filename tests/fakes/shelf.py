"""A volume plugin that takes the protocol at its word: it counts mounts by their ids, and remembers each breach.

A volume is mounted by a bind, so that the kernel shows who has forgotten to unmount.
"""

import shutil
import threading
from pathlib import Path
from typing import Any

from services.dockerd import linux
from tests.fakes.plugin import Answer, Plugin

KIND = "VolumeDriver"


class Shelf:
    """Serves on `socket`, keeps its volumes below `root`. `hanging` methods wait, `failing` ones answer an Err."""

    def __init__(self, socket: Path, root: Path, *, scope: str = "global") -> None:
        self.root = root
        self.scope = scope
        self.volumes: dict[str, dict[str, str]] = {}
        self.mounts: dict[str, set[str]] = {}
        self.breaches: list[str] = []
        self.hanging: set[str] = set()
        self.failing: dict[str, str] = {}
        self.released = threading.Event()
        root.mkdir(parents=True, exist_ok=True)
        verbs = ("Create", "Get", "List", "Remove", "Path", "Mount", "Unmount", "Capabilities")
        self.socket = socket
        self.answers: dict[str, Answer] = {f"{KIND}.{verb}": self._answer(verb) for verb in verbs}
        self.server = self._serve()

    def _serve(self) -> Plugin:
        return Plugin(self.socket, implements=(KIND,), answers=self.answers)

    def _answer(self, verb: str) -> Answer:
        def answer(asked: dict[str, Any]) -> dict[str, Any]:
            if verb in self.hanging:
                self.released.wait(60)
            if verb in self.failing:
                return {"Err": self.failing[verb]}
            reply: dict[str, Any] = getattr(self, f"_{verb.lower()}")(asked)
            return {"Err": "", **reply}

        return answer

    def _create(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["Name"] in self.volumes:
            self.breaches.append(f"created twice: {asked['Name']}")
        self.volumes[asked["Name"]] = asked["Opts"] or {}
        (self.root / asked["Name"]).mkdir(exist_ok=True)
        return {}

    def _get(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["Name"] not in self.volumes:
            return {"Err": f"I have no {asked['Name']}"}
        return {"Volume": {**self._described(asked["Name"]), "Status": {"mounts": len(self._users(asked["Name"]))}}}

    def _described(self, name: str) -> dict[str, str]:
        return {"Name": name, "Mountpoint": self._mountpoint(name), "CreatedAt": "2024-05-06T07:08:09Z"}

    def _list(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Volumes": [self._described(name) for name in sorted(self.volumes)]}

    def _remove(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self._users(asked["Name"]):
            self.breaches.append(f"removed while mounted: {asked['Name']}")
            return {"Err": f"{asked['Name']} is mounted"}
        del self.volumes[asked["Name"]]
        shutil.rmtree(self.root / asked["Name"])
        return {}

    def _path(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Mountpoint": self._mountpoint(asked["Name"])}

    def _mount(self, asked: dict[str, Any]) -> dict[str, Any]:
        name, place = asked["Name"], self.root / f"{asked['Name']}.mnt"
        if not asked["ID"] or asked["ID"] in self._users(name):
            self.breaches.append(f"mounted twice: {name} {asked['ID']}")
        if not self._users(name):
            place.mkdir(exist_ok=True)
            linux.mount(str(self.root / name), str(place), "", linux.MS_BIND)
        self._users(name).add(asked["ID"])
        return {"Mountpoint": str(place)}

    def _unmount(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["Name"]
        if asked["ID"] not in self._users(name):
            self.breaches.append(f"unmounted without a mount: {name} {asked['ID']}")
            return {"Err": "not mounted"}
        self._users(name).discard(asked["ID"])
        if not self._users(name):
            linux.umount2(str(self.root / f"{name}.mnt"), linux.MNT_DETACH)
        return {}

    def _capabilities(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Capabilities": {"Scope": self.scope}}

    def put(self, name: str) -> None:
        """A volume that nobody asked for."""
        self._create({"Name": name, "Opts": None})

    def take(self, name: str) -> None:
        self._remove({"Name": name})

    def _users(self, name: str) -> set[str]:
        return self.mounts.setdefault(name, set())

    def _mountpoint(self, name: str) -> str:
        return str(self.root / f"{name}.mnt") if self._users(name) else ""

    def mounted(self) -> int:
        """How many mounts were asked for and not given back."""
        return sum(map(len, self.mounts.values()))

    def verbs(self) -> list[str]:
        return [method.removeprefix(f"{KIND}.") for method, _ in self.server.calls]

    def die(self) -> None:
        """Nobody listens any more; what it holds stays."""
        self.server.__exit__(None, None, None)
        self.socket.unlink(missing_ok=True)

    def revive(self) -> None:
        self.server = self._serve()
        self.server.__enter__()

    def __enter__(self) -> "Shelf":
        self.server.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        self.released.set()
        self.die()
        for place in self.root.glob("*.mnt"):
            while linux.is_mount(str(place)):
                linux.umount2(str(place), linux.MNT_DETACH)
