# shellcheck shell=bash
# Sourced by the scripts that tell a story on a temporary server: builds, and gives them a directory, words to speak and
# to wait with, and an end that leaves nothing behind. They set `server` and `listener` to the processes they start.

# (`tocsin` is the program of this tree, unless it is set to another one before.)
if [[ -z ${tocsin:-} ]]; then
    cargo build --release --locked --quiet
    tocsin=${CARGO_TARGET_DIR:-$root/target}/release/tocsin
fi

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
if [[ ! -t 1 ]]; then say() { printf '\n%s\n' "$*"; }; fi
fail() { echo "$(basename "$0" .sh): $*" >&2; exit 1; }

work=$(mktemp -d)
chmod 711 "$work" # the private Postgres may be another user's
server='' listener=''
clean_up() {
    for process in $listener $server; do kill -TERM "$process" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

# Waits until the command that follows succeeds, at most half a minute.
until_true() {
    for _ in $(seq 300); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    fail "gave up waiting for: $*"
}
