"""Archives in every spelling become the same tree as in Debian's docker.io: metadata, contents, xattrs, links.

`LONG=1`, which `make test-long` sets, tries some 300 random images; SEED=… others.
"""

import json
import os
import random
import time
from collections.abc import Iterator

import pytest

from tests.harness import images
from tests.harness.archives import Layers, header, long, padded, pax
from tests.harness.engine import Engine
from tests.harness.trees import Tree, of_image

pytestmark = pytest.mark.ours
LONG = bool(os.environ.get("LONG"))
BATCHES, BATCH = (15, 20) if LONG else (1, 10)
BEGAN = time.time_ns()
SEED = int(os.environ.get("SEED", "11"))


def file(name: bytes, data: bytes = b"x", kind: bytes = b"0", **fields: bytes) -> bytes:
    return header(name, kind, len(data), **fields) + padded(data)


def directory(name: bytes) -> bytes:
    return header(name, b"5", mode=b"0000755", mtime=b"00000000007")


PARENT = directory(b"m") + file(b"m/q") + file(b"q")
MARK, WHITEOUT = file(b"m/.wh..wh..opq", b""), file(b"m/.wh.q", b"")
SPELLINGS = {
    "no end": [file(b"a")],
    "no padding": [header(b"a", b"0", 5) + b"hello"],
    "nothing": [b""],
    "something after the end": [file(b"a") + bytes(1024) + file(b"b") + b"garbage"],
    "of old Go": [file(b"a", magic=b"ustar  \0", prefix=b"d") + header(b"d", b"5", mode=b"0000755")],
    "of no version": [file(b"a", magic=b"ustar\0\0\0", prefix=b"m") + directory(b"m")],
    "of v7": [header(b"m/", b"\0", magic=bytes(8)) + file(b"m/f", magic=bytes(8))],
    "slash after a file": [pax([(b"path", b"file/")]) + file(b"x", b"")],
    "long name beside pax": [long(b"gnu", b"L") + pax([(b"path", b"pax")]) + file(b"x")],
    "pax for all": [pax([(b"path", b"all")], b"g") + file(b"x")],
    "pax twice": [pax([(b"path", b"one")]) + pax([(b"uid", b"5")]) + file(b"x")],
    "unknown xattr": [pax([(b"SCHILY.xattr.foo", b"v")]) + file(b"x")],
    "linked parent": [directory(b"m") + header(b"l", b"2", link=b"/../m") + file(b"l/f")],
    "hard link through a link": [PARENT + header(b"l", b"2", link=b"m") + header(b"h", b"1", link=b"l/q")],
    "hard link to a link": [header(b"l", b"2", link=b"m") + header(b"h", b"1", link=b"l", mode=b"0000777")],
    "sparse without a map": [pax([(b"GNU.sparse.size", b"4096"), (b"GNU.sparse.map", b"")]) + file(b"x", b"")],
    "sizes without data": [file(b"a") + header(b"h", b"1", 512, link=b"a") + header(b"s", b"2", 512, link=b"a")],
    "whiteout with data": [PARENT, file(b".wh.q", b"data" * 300) + file(b"b")],
    "whiteout that is a link": [PARENT, header(b".wh.q", b"2", link=b"b")],
    "opaque root": [PARENT, file(b".wh..wh..opq", b"") + file(b"b")],
    "opaque, then whiteout": [PARENT, directory(b"m") + MARK + WHITEOUT + file(b"m/f")],
    "leftovers of aufs": [directory(b".wh..wh.orph") + file(b".wh..wh.aufs", b"") + file(b"b")],
}  # fmt: skip


@pytest.fixture(scope="module")
def theirs() -> Iterator[Engine]:
    with Engine(reference=True) as engine:
        yield engine
        engine.stop()


def archive(named: dict[str, list[bytes]]) -> bytes:
    """Many images in one docker archive."""
    files: dict[str, bytes] = {}
    rows = []
    for name, layers in named.items():
        config = images.document(layers, {"Cmd": ["sh"]})
        files |= {images.digest(each)[7:]: each for each in (*layers, config)}
        paths = [images.digest(each)[7:] for each in layers]
        rows.append({"Config": images.digest(config)[7:], "RepoTags": [name], "Layers": paths})
    return images.pack({**files, "manifest.json": json.dumps(rows).encode()})


def loadable(ours: Engine, theirs: Engine, named: dict[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Those images that both engines take: hard links may lead nowhere, and then both refuse."""
    if ours.docker("load", "-q", stdin=archive(named), timeout=120).code == 0:
        return named
    taken = {}
    for name, layers in named.items():
        data = archive({name: layers})
        codes = {engine.docker("load", "-q", stdin=data, timeout=120).code for engine in (ours, theirs)}
        assert len(codes) == 1, name
        if codes == {0}:
            taken[name] = layers
    assert len(taken) > len(named) / 2
    return taken


def agree(ours: Engine, theirs: Engine, named: dict[str, list[bytes]]) -> None:
    data = archive(named)
    try:
        for engine in (ours, theirs):
            engine.docker.ok("load", "-q", stdin=data, timeout=120)
        for name in named:
            assert timeless(of_image(ours, name)) == timeless(of_image(theirs, name)), name
    finally:
        for engine in (ours, theirs):
            engine.docker("rmi", "-f", *named)


def timeless(tree: Tree) -> Tree:
    """Without the times of directories that were made just now, as nobody says when: an archive implies them."""
    late = range(BEGAN, time.time_ns())
    return {name: (*facts[:4], None if facts[4] in late else facts[4], *facts[5:]) for name, facts in tree.items()}


@pytest.mark.limit(900 if LONG else 150)
def test_random_images_become_the_same_tree(engine: Engine, theirs: Engine) -> None:
    for batch in range(BATCHES):
        named = {}
        for number in range(BATCH):
            draw = random.Random(f"{SEED} {batch} {number}")
            made, top = Layers(draw), draw.randrange(3)
            layers = [made.layer(draw.randrange(1, 25), top=at == top) for at in range(top + 1)]
            named[f"made:{batch}-{number}"] = layers
        agree(engine, theirs, loadable(engine, theirs, named))


def test_odd_spellings_become_the_same_tree(engine: Engine, theirs: Engine) -> None:
    agree(engine, theirs, {f"spelled:{number}": layers for number, layers in enumerate(SPELLINGS.values())})
