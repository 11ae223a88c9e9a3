"""Takes over the images of Docker's own data root, and with `--volumes` its named volumes:
`python -m deploy.adopt [--volumes] /var/lib/docker [options of the docker client, such as -H]`.

Layers are put together again as the archives they once were, from the files of the storage driver and the rest that
tar-split kept, so that every digest is the same; each is verified. The archive goes to `docker load`, or into a file
with `-o`. The data root is only read, and its engine must not run. Standard library only.
"""

import base64
import fcntl
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from deploy import api, volumes

PLACES = {
    "overlay2": "overlay2/{}/diff", "overlay": "overlay/{}/root", "aufs": "aufs/diff/{}",
    "btrfs": "btrfs/subvolumes/{}", "vfs": "vfs/dir/{}",
}
"""Where each of Docker's storage drivers has the files of a layer."""
CHUNK = 1 << 20


class Unfit(Exception):
    """What cannot be taken over, and why."""


class Layer:
    """One layer of `layerdb`: what is needed to make its archive again."""

    def __init__(self, root: Path, driver: str, chain_id: str) -> None:
        record = root / "image" / driver / "layerdb/sha256" / chain_id.removeprefix("sha256:")
        try:
            self.diff_id = (record / "diff").read_text().strip()
            self.files = root / PLACES[driver].format((record / "cache-id").read_text().strip())
        except FileNotFoundError as error:
            raise Unfit(f"layer {chain_id} is not there: {error}") from error
        self._split = record / "tar-split.json.gz"

    def size(self) -> int:
        return sum(len(rest) + size for rest, _, size in self._records())

    def archive(self) -> Iterator[bytes]:
        """The bytes of the archive; Unfit where they are not what they were."""
        whole = hashlib.sha256()
        root = os.open(self.files, os.O_PATH | os.O_DIRECTORY)
        try:
            for rest, name, size in self._records():
                for piece in _contents(root, name, size) if size else [rest]:
                    whole.update(piece)
                    yield piece
        finally:
            os.close(root)
        if f"sha256:{whole.hexdigest()}" != self.diff_id:
            raise Unfit(f"layer {self.diff_id} has been changed: its files make sha256:{whole.hexdigest()}")

    def _records(self) -> Iterator[tuple[bytes, bytes, int]]:
        """Bytes that are no file's, or the name and size of a file whose contents come next."""
        with gzip.open(self._split, "rt") as lines:
            for line in lines:
                record = json.loads(line)
                if record["type"] == 2:
                    yield base64.b64decode(record["payload"] or ""), b"", 0
                elif record.get("size"):
                    raw = record.get("name_raw")
                    yield b"", base64.b64decode(raw) if raw else record["name"].encode(), record["size"]


def _contents(root: int, name: bytes, size: int) -> Iterator[bytes]:
    with _opened(root, name) as file:
        while size:
            piece = file.read(min(size, CHUNK))
            if not piece:
                raise Unfit(f"{os.fsdecode(name)} is shorter than it was")
            size -= len(piece)
            yield piece


@contextmanager
def _opened(root: int, name: bytes) -> Iterator[BinaryIO]:
    """A file of the layer, no symbolic link followed on the way."""
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    if b".." in parts or not parts:
        raise Unfit(f"{os.fsdecode(name)} lies outside of its layer")
    held = os.dup(root)
    try:
        for part in parts[:-1]:
            inner = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=held)
            os.close(held)
            held = inner
        descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW, dir_fd=held)
    except OSError as error:
        raise Unfit(f"{os.fsdecode(name)} of a layer cannot be read: {error.strerror}") from error
    finally:
        os.close(held)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        yield file


def chain_ids(diff_ids: list[str]) -> list[str]:
    found: list[str] = []
    for diff_id in diff_ids:
        text = f"{found[-1]} {diff_id}" if found else ""
        found.append(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text else diff_id)
    return found


def names(root: Path, driver: str) -> list[tuple[str, str]]:
    """Names and the image that each stands for: `busybox:latest`, and by a registry's digest `busybox@sha256:…`."""
    try:
        known = json.loads((root / "image" / driver / "repositories.json").read_text())["Repositories"]
    except FileNotFoundError:
        return []
    return [(text, image) for listed in known.values() for text, image in listed.items()]


def images(root: Path, driver: str) -> Iterator[tuple[bytes, list[str]]]:
    """Each image's configuration, verified, with its tags."""
    place = root / "image" / driver
    tags = [(text, image) for text, image in names(root, driver) if "@" not in text]
    for path in sorted((place / "imagedb/content/sha256").iterdir()):
        config = path.read_bytes()
        if hashlib.sha256(config).hexdigest() != path.name:
            raise Unfit(f"image {path.name} is not what its name says")
        yield config, sorted(text for text, image in tags if image == f"sha256:{path.name}")


def parent(root: Path, driver: str, image: str) -> str:
    """The image that another one was committed or built on; empty where Docker knows none."""
    try:
        return (root / "image" / driver / "imagedb/metadata/sha256" / image / "parent").read_text().strip()
    except FileNotFoundError:
        return ""


def write(root: Path, driver: str, out: BinaryIO) -> int:
    """The images of one storage driver as a docker archive; how many they are."""
    listed: list[dict[str, Any]] = []
    written: set[str] = set()
    with tarfile.open(fileobj=out, mode="w|", bufsize=CHUNK) as archive:
        for config, tags in images(root, driver):
            diff_ids = json.loads(config)["rootfs"].get("diff_ids") or []
            for diff_id, chain_id in zip(diff_ids, chain_ids(diff_ids), strict=True):
                if diff_id not in written:
                    written.add(diff_id)
                    layer = Layer(root, driver, chain_id)
                    _add(archive, f"{diff_id[7:]}/layer.tar", layer.size(), layer.archive())
            image = hashlib.sha256(config).hexdigest()
            _add(archive, f"{image}.json", len(config), iter([config]))
            layers = [f"{diff_id[7:]}/layer.tar" for diff_id in diff_ids]
            entry = {"Config": f"{image}.json", "RepoTags": tags or None, "Layers": layers}
            above = parent(root, driver, image)
            listed.append({**entry, "Parent": above} if above else entry)
        document = json.dumps(listed).encode()
        _add(archive, "manifest.json", len(document), iter([document]))
    return len(listed)


class _Pieces(io.RawIOBase):
    """Pieces of bytes to be read as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        taken = self._left[: len(buffer)]
        buffer[: len(taken)] = taken
        self._left = self._left[len(taken) :]
        return len(taken)


def _add(archive: tarfile.TarFile, name: str, size: int, pieces: Iterator[bytes]) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    archive.addfile(info, io.BufferedReader(_Pieces(pieces), CHUNK))
    if any(pieces):  # to the end, where the digest is looked at
        raise Unfit(f"{name} is longer than it says")


def drivers(root: Path) -> list[str]:
    found = [path.name for path in sorted((root / "image").glob("*")) if (path / "imagedb/content/sha256").is_dir()]
    if not found:
        raise Unfit(f"{root} is no data root of Docker's with images kept by a storage driver")
    for name in found:
        if name not in PLACES:
            raise Unfit(f"images of storage driver {name} cannot be read: only of {', '.join(PLACES)}")
    return found


def refuse_running(root: Path) -> None:
    """Docker has the database of its volumes locked for as long as it runs."""
    try:
        with (root / "volumes/metadata.db").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return
    except BlockingIOError as error:
        raise Unfit(f"an engine runs on {root}: stop it first") from error


def main(argv: list[str]) -> int:
    wanted, argv = argv[:1] == ["--volumes"], argv[argv[:1] == ["--volumes"] :]
    if not argv or argv[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    root, words = Path(argv[0]), argv[1:]
    try:
        refuse_running(root)
        for driver in drivers(root):
            if words[:1] == ["-o"]:
                with Path(words[1]).open("wb") as file:
                    count = write(root, driver, file)
            else:
                count = _load(root, driver, words)
                known = [(text, image) for text, image in names(root, driver) if "@" in text]
                api.name_by_digest(words, known)
            print(f"images of {root} ({driver}): {count}", file=sys.stderr)
        if wanted:
            volumes.adopt(root, words)
    except (Unfit, api.Refused, OSError) as error:
        print(f"adopt: {error}", file=sys.stderr)
        return 1
    return 0


def _load(root: Path, driver: str, words: list[str]) -> int:
    with subprocess.Popen(["docker", *words, "load"], stdin=subprocess.PIPE) as client:
        assert client.stdin
        try:
            count = write(root, driver, client.stdin)
            client.stdin.close()
        except BaseException:
            client.kill()
            raise
        if client.wait():
            raise Unfit(f"docker load ended with {client.returncode}")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
