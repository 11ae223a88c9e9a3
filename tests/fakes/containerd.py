"""A docker-containerd of a few lines: its flags, its word on the ready descriptor, a socket, an end at SIGTERM.

`behaviour` beside its socket says otherwise: `refuse` (with a reason), `silent` (ends without a word). What it was
given is written to `given` there.
"""

import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path


def main() -> int:
    flags = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    address, ready = flags["--address"], int(flags["--ready-fd"])
    home = Path(address).parent
    behaviour = (home / "behaviour").read_text() if (home / "behaviour").exists() else ""
    given = {
        "flags": flags, "environment": dict(os.environ), "session": os.getsid(0) == os.getpid(),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE), "stdin": str(Path("/proc/self/fd/0").readlink()),
        "descriptors": sorted(int(each.name) for each in Path("/proc/self/fd").iterdir()),
    }
    (home / "given").write_text(json.dumps(given))
    if behaviour == "silent":
        return 1
    if behaviour == "refuse":
        os.write(ready, b"failed: the disk is gone\n")
        return 1
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        os.write(ready, b"ready\n")
        os.close(ready)
        signal.sigwait({signal.SIGTERM})
    return 0


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    sys.exit(main())
