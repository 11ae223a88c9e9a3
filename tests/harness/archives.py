"""Random layers: every kind of entry and spelling that a tar archive may have, on few names so that they meet."""

import random
from dataclasses import dataclass, field

KINDS = {
    "file": 8, "directory": 5, "symlink": 3, "hardlink": 3, "fifo": 1, "node": 1, "sparse": 3, "whiteout": 3,
    "opaque": 1,
}  # fmt: skip
TOP, BELOW = (b"a", b"b", b"c", b"\xc3\xa9\xff"), (b"d", b"e", b"f", b"g" * 60)
DIRECTORY, FILE, OTHER = "directory", "file", "other"


def header(name: bytes, kind: bytes, size: int = 0, **fields: bytes) -> bytes:
    """One block; `fields` are as they stand in it."""
    places = {"mode": 100, "uid": 108, "gid": 116, "mtime": 136, "link": 157, "magic": 257, "major": 329, "minor": 337,
              "sparse": 386, "prefix": 345, "longer": 482, "real": 483}  # fmt: skip
    block = bytearray(512)
    block[: len(name)] = name
    block[124:136] = octal(size, 12)
    block[156:157] = kind
    for key, value in {"mode": b"0000644", "magic": b"ustar\x0000", **fields}.items():
        block[places[key] : places[key] + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def octal(value: int, width: int) -> bytes:
    """Base 256 where octal digits do not suffice."""
    if 0 <= value < 8 ** (width - 1):
        return b"%0*o\0" % (width - 1, value)
    if value < 0:
        return (value + (1 << (8 * width))).to_bytes(width, "big")
    return b"\x80" + value.to_bytes(width - 1, "big")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(records: list[tuple[bytes, bytes]], kind: bytes = b"x") -> bytes:
    text = b""
    for key, value in records:
        body = key + b"=" + value + b"\n"
        length = len(body) + 2
        while len(b"%d " % length) + len(body) != length:
            length += 1
        text += b"%d " % length + body
    return header(b"pax", kind, len(text)) + padded(text)


def long(name: bytes, kind: bytes) -> bytes:
    return header(b"././@LongLink", kind, len(name) + 1, magic=b"ustar  \0") + padded(name + b"\0")


@dataclass
class Layers:
    """Writes layers on top of each other, and knows what lies where, so that most of them can be unpacked."""

    random: random.Random
    tree: dict[bytes, str] = field(default_factory=dict)
    """What each path is, of all layers so far."""
    own: set[bytes] = field(default_factory=set)
    """Paths of the layer at hand."""
    said: set[bytes] = field(default_factory=set)
    """All that it has named: Docker refuses a layer that names a path twice."""
    out: bytes = b""

    def layer(self, entries: int, *, top: bool) -> bytes:
        self.out, self.own, self.said = b"", set(), set()
        if top or self.random.random() < 0.3:
            self._entry(b"/", b"5", mode=self.random.choice((0o755, 0o700, 0o1777)))
        for _ in range(entries):
            kind, path = self.random.choices(list(KINDS), list(KINDS.values()))[0], self._place()
            if path is not None:
                getattr(self, f"_{kind}")(path)
        return self.out + bytes(self.random.choice((0, 512, 1024, 10240)))

    # Kinds

    def _file(self, path: bytes) -> None:
        data = self.random.randbytes(self.random.choice((0, 1, 511, 512, 513, 3000)))
        self._entry(path, self.random.choice((b"0", b"\0")), data)
        self._now(path, FILE)

    def _directory(self, path: bytes) -> None:
        self._entry(path + self.random.choice((b"", b"/")), b"5")
        self._now(path, DIRECTORY)

    def _symlink(self, path: bytes) -> None:
        target = self.random.choice((b"d", b"../a", b"/a/d", b"nowhere", b"../../../../etc", b"x" * 120))
        self._entry(path, b"2", link=target)
        self._now(path, OTHER)

    def _hardlink(self, path: bytes) -> None:
        known = [each for each in self.own if self.tree[each] != DIRECTORY and not each.startswith(path + b"/")]
        if known:
            source = self.random.choice(sorted(known))
            self._entry(path, b"1", link=self.random.choice((b"", b"/", b"./")) + source)
            self._now(path, self.tree[source])

    def _fifo(self, path: bytes) -> None:
        self._entry(path, b"6")
        self._now(path, OTHER)

    def _node(self, path: bytes) -> None:
        number = {"major": self.random.choice((1, 7)), "minor": self.random.choice((3, 300))}
        self._entry(path, self.random.choice((b"3", b"4")), **number)
        self._now(path, OTHER)

    def _sparse(self, path: bytes) -> None:
        holes = [(at, self.random.choice((1, 512, 700))) for at in range(0, self.random.randrange(1, 40) * 4096, 4096)]
        data, length = self.random.randbytes(sum(size for _, size in holes)), holes[-1][0] + 5000
        self.random.choice((self._sparse_0_0, self._sparse_0_1, self._sparse_1_0))(path, holes, data, length)
        self._now(path, FILE)

    def _sparse_0_0(self, path: bytes, holes: list[tuple[int, int]], data: bytes, length: int) -> None:
        records = [(b"GNU.sparse.size", b"%d" % length), (b"GNU.sparse.numblocks", b"%d" % len(holes))]
        for at, size in holes:
            records += [(b"GNU.sparse.offset", b"%d" % at), (b"GNU.sparse.numbytes", b"%d" % size)]
        self.out += pax([*records, (b"path", path)]) + header(b"short", b"0", len(data)) + padded(data)

    def _sparse_0_1(self, path: bytes, holes: list[tuple[int, int]], data: bytes, length: int) -> None:
        table = b",".join(b"%d,%d" % each for each in holes)
        self.out += pax([
            (b"GNU.sparse.size", b"%d" % length), (b"GNU.sparse.numblocks", b"%d" % len(holes)),
            (b"GNU.sparse.name", path), (b"GNU.sparse.map", table),
        ]) + header(b"GNUSparseFile.0/x", b"0", len(data)) + padded(data)  # fmt: skip

    def _sparse_1_0(self, path: bytes, holes: list[tuple[int, int]], data: bytes, length: int) -> None:
        table = padded(b"%d\n" % len(holes) + b"".join(b"%d\n%d\n" % each for each in holes))
        self.out += pax([
            (b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", path),
            (b"GNU.sparse.realsize", b"%d" % length),
        ]) + header(b"GNUSparseFile.0/x", b"0", len(table) + len(data)) + table + padded(data)  # fmt: skip

    def _whiteout(self, path: bytes) -> None:
        head, slash, base = path.rpartition(b"/")
        mark = head + slash + b".wh." + base
        if mark not in self.said and not any(each == path or each.startswith(path + b"/") for each in self.own):
            self._entry(mark, b"0")
            self._gone(path)

    def _opaque(self, path: bytes) -> None:
        """In a directory of this layer, before or after what it brings there itself."""
        place = path.rpartition(b"/")[0]
        if place and place + b"/.wh..wh..opq" not in self.said:
            self._entry(place + b"/.wh..wh..opq", b"0")
            for each in [each for each in self.tree if each.startswith(place + b"/") and each not in self.own]:
                self._gone(each)

    # Places

    def _place(self) -> bytes | None:
        """A path that the layer at hand has not named yet, in a directory that it has; None where luck is out."""
        parents = [b"", *sorted(each for each, kind in self.tree.items() if kind == DIRECTORY)]
        for parent in self.random.choices(parents, k=4):
            path = (parent + b"/" if parent else b"") + self.random.choice(BELOW if parent else TOP)
            if path in self.said or (self.tree.get(path) == DIRECTORY and path in self.own):
                continue
            parts = path.split(b"/")
            above = [b"/".join(parts[:at]) for at in range(1, len(parts))]
            for each in above:
                if each not in self.own:
                    self._entry(each, b"5")
                    self.own.add(each)
            self.said.add(path)
            return path
        return None

    def _now(self, path: bytes, kind: str) -> None:
        if not (kind == DIRECTORY and self.tree.get(path) == DIRECTORY):
            self._gone(path)
        self.tree[path] = kind
        self.own.add(path)

    def _gone(self, path: bytes) -> None:
        for each in [each for each in self.tree if each == path or each.startswith(path + b"/")]:
            del self.tree[each]
            self.own.discard(each)

    # Spellings

    def _entry(
        self, path: bytes, kind: bytes, data: bytes = b"", link: bytes = b"", mode: int = -1,
        major: int = 0, minor: int = 0,
    ) -> None:
        draw, records, before = self.random, [], b""
        self.said.add(path.rstrip(b"/"))
        mode = mode if mode >= 0 else draw.choice((0o644, 0o755, 0o4755, 0o2755, 0o1777, 0o6711, 0, 0o7777))
        fields = {
            "mode": octal(mode | draw.choice((0, 0, 0o100000)), 8),
            "uid": octal(draw.choice((0, 1000, 2**21, 2**31)), 8), "gid": octal(draw.choice((0, 50, 2**22)), 8),
            "mtime": octal(draw.choice((0, 1_600_000_000, -5, 2**33)), 12),
        }  # fmt: skip
        if draw.random() < 0.2:
            records += [(b"uid", b"7"), (b"gid", b"0099")]
        if draw.random() < 0.3:
            records.append((b"mtime", draw.choice((b"1500000000.123456789", b"-3.5", b"7.1234567891", b"12.", b"0.5"))))
        if draw.random() < 0.3 and kind in b"057\0" and b".wh." not in path:
            records += self._xattrs()
        name = draw.choice((b"", b"", b"./", b"/")) + path if path not in (b".", b"./", b"/") else path
        whole = name
        if draw.random() < 0.2 and name.count(b"/") == 1 and not name.endswith(b"/"):
            head, _, tail = name.partition(b"/")
            if head not in (b"", b".", b".."):
                fields["prefix"], name = head, tail
        if len(name) > 99 or draw.random() < 0.1:
            gnu = not records and draw.random() < 0.5
            before += long(whole, b"L") if gnu else b""
            records += [] if gnu else [(b"path", whole)]
            fields.pop("prefix", None)
            name = b"short"
        if len(link) > 99 or (link and draw.random() < 0.2):
            gnu = not records and draw.random() < 0.5
            before += long(link, b"K") if gnu else b""
            records += [] if gnu else [(b"linkpath", link)]
            link = b"short"
        if kind in (b"3", b"4"):
            fields |= {"major": octal(major, 8), "minor": octal(minor, 8)}
        if link:
            fields["link"] = link
        size = len(data)
        if records and draw.random() < 0.1:
            records.append((b"size", b"%d" % size))
        self.out += before + (pax(records) if records else b"") + header(name, kind, size, **fields) + padded(data)

    def _xattrs(self) -> list[tuple[bytes, bytes]]:
        found = [
            (b"SCHILY.xattr.user.x", b"text"), (b"SCHILY.xattr.user.bin", b"\0\n=\xff"),
            (b"SCHILY.xattr.user.empty", b""),
            (b"SCHILY.xattr.security.capability", b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            (b"SCHILY.xattr.trusted.x", b"1"), (b"LIBARCHIVE.xattr.user.y", b"dGV4dA"), (b"comment", b"nothing"),
        ]  # fmt: skip
        return self.random.sample(found, 2)
