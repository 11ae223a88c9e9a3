"""Assembles a small image from Debian's busybox-static as a docker archive: `python deploy/image.py OUT.tar [NAME]`.

The same input gives the same bytes: no clock, no names of the building machine. Standard library only.
"""

import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
CREATED = "2023-05-18T00:00:00Z"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}
USERS = {
    "root": (0, "/root", "/bin/sh"),
    "daemon": (1, "/usr/sbin", "/bin/false"),
    "bin": (2, "/bin", "/bin/false"),
    "sys": (3, "/dev", "/bin/false"),
    "mail": (8, "/var/mail", "/bin/false"),
    "www-data": (33, "/var/www", "/bin/false"),
    "nobody": (65534, "/nonexistent", "/bin/false"),
}
GROUPS = {name: uid for name, (uid, _, _) in USERS.items()} | {"adm": 4, "tty": 5, "disk": 6, "wheel": 10, "users": 100}
DIRECTORIES = {
    **dict.fromkeys(("bin", "dev", "etc", "home", "proc", "sbin", "sys", "usr", "usr/bin", "usr/sbin", "var"), 0o755),
    **dict.fromkeys(("run", "var/log", "var/mail", "var/www"), 0o755),
    "root": 0o700,
    "tmp": 0o1777,
    "var/tmp": 0o1777,
}


def files() -> dict[str, bytes]:
    passwd = "".join(f"{name}:x:{uid}:{uid}:{name}:{home}:{shell}\n" for name, (uid, home, shell) in USERS.items())
    group = "".join(f"{name}:x:{gid}:\n" for name, gid in GROUPS.items())
    return {
        "etc/passwd": passwd.encode(),
        "etc/group": group.encode(),
        "etc/shadow": "".join(f"{name}:*:19000:0:99999:7:::\n" for name in USERS).encode(),
        "etc/profile": b"export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
        "etc/nsswitch.conf": b"passwd: files\ngroup: files\nhosts: files dns\n",
    }


def add(
    tar: tarfile.TarFile, name: str, mode: int, kind: bytes = tarfile.REGTYPE, body: bytes = b"", link: str = ""
) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode, entry.type, entry.linkname, entry.size = mode, kind, link, len(body)
    tar.addfile(entry, io.BytesIO(body))


def layer() -> bytes:
    """The root file system as one uncompressed layer."""
    out = io.BytesIO()
    applets = subprocess.run([BUSYBOX, "--list"], check=True, capture_output=True, text=True).stdout.split()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, mode in sorted(DIRECTORIES.items()):
            add(tar, name, mode, tarfile.DIRTYPE)
        add(tar, "bin/busybox", 0o755, body=BUSYBOX.read_bytes())
        for applet in sorted(set(applets) - {"busybox", "linuxrc"}):
            add(tar, f"bin/{applet}", 0o777, tarfile.SYMTYPE, link="/bin/busybox")
        add(tar, "usr/bin/env", 0o777, tarfile.SYMTYPE, link="/bin/busybox")
        for name, body in files().items():
            add(tar, name, 0o640 if name == "etc/shadow" else 0o644, body=body)
    return out.getvalue()


def config(diff_id: str) -> dict[str, object]:
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "created": CREATED,
        "config": {"Env": [path], "Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [
            {"created": CREATED, "created_by": "/bin/sh -c #(nop) ADD busybox-static in / "},
            {"created": CREATED, "created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
        ],
    }


def archive(name: str = "busybox:latest") -> bytes:
    """The whole docker archive, as `docker load` takes it."""
    body = layer()
    digest = hashlib.sha256(body).hexdigest()
    document = json.dumps(config(f"sha256:{digest}")).encode()
    identity = hashlib.sha256(document).hexdigest()
    manifest = [{"Config": f"{identity}.json", "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        add(tar, digest, 0o755, tarfile.DIRTYPE)
        add(tar, f"{digest}/VERSION", 0o644, body=b"1.0")
        add(tar, f"{digest}/json", 0o644, body=json.dumps({"id": digest}).encode())
        add(tar, f"{digest}/layer.tar", 0o644, body=body)
        add(tar, f"{identity}.json", 0o644, body=document)
        add(tar, "manifest.json", 0o644, body=json.dumps(manifest).encode())
    return out.getvalue()


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(f"usage: {sys.argv[0]} OUT.tar [NAME:TAG]", file=sys.stderr)
        return 2
    if not BUSYBOX.exists():
        print(f"{BUSYBOX} is missing: apt-get install busybox-static", file=sys.stderr)
        return 1
    Path(sys.argv[1]).write_bytes(archive(*sys.argv[2:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
