#!/usr/bin/env bash
# Prints every notificationList of a box since a restartToken, one line of JSON each, then cleans up and ends.
#
#   scripts/replay.sh BOX [RESTART_TOKEN]
#
# BOX            the box, for example tel:+19585550100
# RESTART_TOKEN  a moment, for example 2026-01-31T12:00:00.123456Z, as every notificationList carries it; without
#                one, or with one before the box's first event, everything is replayed
#
# The server is the one at TOCSIN_URL, by default http://127.0.0.1:8080.
set -euo pipefail

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
}

case ${1-} in
    -h | --help) usage; exit 0 ;;
esac
if [[ $# -lt 1 || $# -gt 2 || -z $1 || $1 == -* ]]; then
    usage >&2
    exit 2
fi

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
binary=$target/release/tocsin
if [[ ! -x $binary ]]; then
    # shellcheck source=scripts/lib/setup.sh
    . "$root/scripts/lib/setup.sh"
    set_up_machine
    (cd "$root" && cargo build --release --locked) >&2
fi
exec "$binary" replay -- "$@"
