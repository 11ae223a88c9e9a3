# What the scripts beside this one share. Not run by itself.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
STATE=${DOCKERD_STATE:-/run/dockerd-py}
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

# A killed dockerd may be a zombie for a while: its name is still there, but it is not running.
running() {
    local pid
    pid=$(cat "$PIDFILE" 2>/dev/null) && [ -n "$pid" ] || return 1
    grep -qs '^Name:[[:space:]]dockerd$' "/proc/$pid/status" && ! grep -qs '^State:[[:space:]]Z' "/proc/$pid/status"
}
