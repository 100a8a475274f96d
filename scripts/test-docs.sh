#!/usr/bin/env bash
# Follows the pages of the documentation to the letter: every block of commands in them is run, in order, as it stands
# there, against a server of its own for each page, and must succeed and print what the page says. scripts/lib/docs.py
# says how a block is marked that cannot be run.
#
#   scripts/test-docs.sh [--port PORT] [PAGE]...       (without PAGE all of them; port 8080, which the pages say)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine curl python3
# shellcheck source=scripts/lib/node.sh
. scripts/lib/node.sh
set_up_node
export NODE=$node

port=()
if [[ ${1:-} == --port ]]; then
    port=(--port "$2")
    shift 2
fi
if [[ $# -eq 0 ]]; then set -- README.md SECURITY.md docs/*.md clients/*/README.md examples/README.md; fi
# The private server is the pages' own, whatever this shell is used to.
unset DATABASE_URL TOCSIN_URL TOCSIN_CONFIG TOCSIN_LISTEN TOCSIN_TOKEN
cargo build --release --locked --quiet
exec python3 scripts/lib/docs.py "${port[@]}" "$@"
