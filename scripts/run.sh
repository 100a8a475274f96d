#!/usr/bin/env bash
# Builds the server, runs it, and says what to try when it is ready.
#
#   scripts/run.sh [arguments of `tocsin serve`]
#
# Runs where it is called: relative paths, and the default ./tocsin-data, are the caller's.
# Ctrl-C and SIGTERM reach the server once each; the exit code is the server's.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib/setup.sh
. "$root/scripts/lib/setup.sh"

# The value of option $1 in the remaining arguments, or nothing; the last one counts.
option() {
    local name=$1 value=
    shift
    while [[ $# -gt 0 ]]; do
        case $1 in
            "$name") value=${2-} ;;
            "$name"=*) value=${1#*=} ;;
        esac
        shift
    done
    printf '%s' "$value"
}

# Prints the commands to try with the server at URL $1; the remaining arguments are the server's.
say_what_to_try() {
    local url=$1 tocsin=$binary replay=$root/scripts/replay.sh
    shift
    if [[ $PWD == "$root" ]]; then # then the short paths work, too
        tocsin=${tocsin#"$root/"}
        replay=scripts/replay.sh
    fi
    tocsin=$(printf '%q' "$tocsin")
    replay=$(printf '%q' "$replay")

    local listen="$tocsin listen --user tel:+19585550100 --box tel:+19585550100"
    replay="$replay tel:+19585550100"
    if [[ $url != http://127.0.0.1:8080 ]]; then
        listen+=" --server $url"
        replay="TOCSIN_URL=$url $replay"
    fi

    local database data_dir
    database=$(option --database-url "$@")
    data_dir=$(option --data-dir "$@")
    data_dir=${data_dir:-${TOCSIN_DATA_DIR-}}
    if [[ -n $database ]]; then
        database=$(printf '%q' "$database")
    elif [[ -n ${DATABASE_URL-} ]]; then
        # shellcheck disable=SC2016 # for the other terminal's shell
        database='"$DATABASE_URL"'
    else
        database="\"\$($tocsin url${data_dir:+ --data-dir $(printf '%q' "$data_dir")})\""
    fi

    cat <<END

Try in another terminal:

  $listen

  psql $database -c "INSERT INTO tocsin.messages (box_id, sender, recipient, body) VALUES ('tel:+19585550100','tel:+19585550101','tel:+19585550100','hello')"

  $replay

END
}

# Passes the server's lines on, and adds ours below the one that says it is ready.
pass_on() {
    trap '' INT TERM HUP # it ends with the server's output
    local line
    while IFS= read -r line; do
        printf '%s\n' "$line"
        if [[ $line == "READY http"* ]]; then say_what_to_try "${line#READY }" "$@"; fi
    done
}

# Sends signal $1 on, or keeps it until there is a server to send it to.
pass_signal() {
    signalled=yes
    if [[ -z $server ]]; then pending=$1; else kill -s "$1" "$server" 2>/dev/null || true; fi
}

# The exit code of the server: `wait` also returns when a signal arrives, and is then asked again.
wait_for_server() {
    local code=0 again
    while :; do
        signalled=
        wait "$server" && again=0 || again=$?
        # 127: its code has been told before, just as the signal came.
        if [[ $again -ne 127 ]]; then code=$again; fi
        if [[ -z $signalled ]]; then return "$code"; fi
    done
}

set_up_machine
(cd "$root" && cargo build --release --locked)
target=${CARGO_TARGET_DIR:-target}
if [[ $target != /* ]]; then target=$root/$target; fi
binary=$target/release/tocsin

# A pipe without a name, whose reader ends when the server and this script have let go of it.
pipe=$(mktemp -u "${TMPDIR:-/tmp}/tocsin-run.XXXXXX")
mkfifo -m 600 "$pipe"
exec 3<>"$pipe" 4<"$pipe"
rm "$pipe"

server='' pending=''
trap 'pass_signal INT' INT
trap 'pass_signal TERM' TERM HUP
# Process groups of their own: Ctrl-C in the terminal goes to this script alone, which passes it on.
set -m
pass_on "$@" <&4 3>&- 4<&- &
output=$!
"$binary" serve "$@" >&3 3>&- 4<&- </dev/null &
server=$!
exec 3>&- 4<&-
if [[ -n $pending ]]; then kill -s "$pending" "$server" 2>/dev/null || true; fi

code=0
wait_for_server || code=$?
wait "$output" || true
exit "$code"
