"""The index of all containers, by id, unique id prefix and name, and the list entries kept ready as bytes.

A container's entry is encoded when it is first listed after a change; a list is then a join. Its Status text depends
on the time and its Image on the images' names, so these two are put in between. No locks: all of it is one thread's.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from protos import errdefs
from services.dockerd.container import stamp
from services.dockerd.container.container import Container
from services.dockerd.container.state import Status


@dataclass(frozen=True, slots=True)
class Entry:
    """A list entry as JSON, cut where Image and Status belong."""

    head: bytes
    middle: bytes
    tail: bytes


def _unset(container: Container) -> Entry:
    raise RuntimeError("the index has no encoder yet")


@dataclass(slots=True)
class View:
    encode: Callable[[Container], Entry] = _unset
    """Set by the engine: engine/list.py knows images and networks."""
    _by_id: dict[str, Container] = field(default_factory=dict)
    _ids: list[str] = field(default_factory=list)
    _names: dict[str, str] = field(default_factory=dict)
    _entries: dict[str, Entry] = field(default_factory=dict)
    _newest_first: list[Container] | None = None

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Container]:
        return iter(list(self._by_id.values()))

    def __contains__(self, container_id: str) -> bool:
        return container_id in self._by_id

    def newest_first(self) -> list[Container]:
        if self._newest_first is None:
            self._newest_first = sorted(self._by_id.values(), key=lambda each: each.created, reverse=True)
        return self._newest_first

    def by_id(self, container_id: str) -> Container | None:
        return self._by_id.get(container_id)

    def find(self, reference: str) -> Container | None:
        """As `get`, but None for an unknown one."""
        found = self._by_id.get(reference) or self._by_id.get(self._names.get(reference.removeprefix("/"), ""))
        if found or not reference:
            return found
        place = bisect_left(self._ids, reference)
        matches = [each for each in self._ids[place:place + 2] if each.startswith(reference)]
        if len(matches) > 1:
            raise errdefs.InvalidArgument(f"Multiple IDs found with provided prefix: {reference}")
        return self._by_id[matches[0]] if matches else None

    def get(self, reference: str) -> Container:
        """The container of an id, a name or a unique beginning of an id, in this order."""
        found = self.find(reference)
        if found is None:
            raise errdefs.NotFound(f"No such container: {reference}")
        return found

    def reserve(self, name: str, container_id: str) -> None:
        """Take a name; Conflict, in Docker's words, where another container has it."""
        holder = self._names.setdefault(name, container_id)
        if holder != container_id:
            raise errdefs.Conflict(
                f'Conflict. The container name "/{name}" is already in use by container "{holder}". '
                "You have to remove (or rename) that container to be able to reuse that name.")

    def release(self, name: str, container_id: str) -> None:
        if self._names.get(name) == container_id:
            del self._names[name]

    def taken(self, name: str) -> bool:
        return name in self._names

    def add(self, container: Container) -> None:
        self.reserve(container.name, container.id)
        self._by_id[container.id] = container
        insort(self._ids, container.id)
        self._newest_first = None

    def remove(self, container: Container) -> None:
        if self._by_id.pop(container.id, None) is None:
            return
        del self._ids[bisect_left(self._ids, container.id)]
        self.release(container.name, container.id)
        self._entries.pop(container.id, None)
        self._newest_first = None

    def refresh(self, container: Container) -> None:
        """Something that a list shows has changed."""
        self._entries.pop(container.id, None)

    def entry(self, container: Container) -> Entry:
        found = self._entries.get(container.id)
        if found is None:
            found = self._entries[container.id] = self.encode(container)
        return found


def status(container: Container, now: int) -> str:
    """The Status text of a list: `Up 3 minutes (healthy)`, `Exited (1) 2 hours ago`."""
    state = container.state
    if state.status is Status.RESTARTING:
        return f"Restarting ({state.exit_code}) {_since(state.finished_at, now)} ago"
    if state.running:
        return f"Up {_since(state.started_at, now)}{_note(container)}"
    if state.status is Status.EXITED and state.finished_at:
        return f"Exited ({state.exit_code}) {_since(state.finished_at, now)} ago"
    return _WORDS.get(state.status, "")


_WORDS: Final = {Status.CREATED: "Created", Status.REMOVING: "Removal In Progress", Status.DEAD: "Dead"}


def _since(moment: int, now: int) -> str:
    return stamp.ago((now - moment) / 1e9)


def _note(container: Container) -> str:
    if container.state.status is Status.PAUSED:
        return " (Paused)"
    if container.health is None or container.health.status == "none":
        return ""
    return " (health: starting)" if container.health.status == "starting" else f" ({container.health.status})"
