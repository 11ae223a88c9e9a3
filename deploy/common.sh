# What the scripts beside this one share. Not run by itself.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=/run/dockerd-py
LOG=${DOCKERD_LOG:-/var/log/dockerd.log}
PIDFILE=/var/run/docker.pid
SOCKET=/var/run/docker.sock

die() {
    echo "$*" >&2
    exit 1
}

need_root() {
    [ "$(id -u)" = 0 ] || die "$1 needs root: run it as 'sudo make ${2:-$1}'"
}

# The flags of the last start, so that down, tree and logs speak of the same engine.
recall() {
    [ ! -r "$STATE" ] || . "$STATE"
}

running() {
    [ -r "$PIDFILE" ] && [ "$(cat "/proc/$(cat "$PIDFILE")/comm" 2>/dev/null)" = dockerd ]
}
