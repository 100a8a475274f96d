#!/usr/bin/env bash
# Tests the clients of other languages against a real server with a Postgres of its own.
#
#   scripts/test-clients.sh [arguments of `node --test`]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine curl python3
# shellcheck source=scripts/lib/node.sh
. scripts/lib/node.sh
set_up_node
set_up_typescript

echo "the types of clients/js" >&2
"$node" "$tsc" --strict --noEmit --target es2022 --module nodenext --lib es2024,dom,dom.asynciterable \
    clients/js/test/types.ts clients/js/tocsin.d.ts

echo "the examples, that over a WebSocket included" >&2
if [[ ! -x target/python/bin/pip ]]; then python3 -m venv target/python; fi
target/python/bin/pip install --quiet 'websockets>=13'
PATH="$root/target/python/bin:$PATH" cargo test --locked --quiet --test suite -- --include-ignored examples::curl examples::python

test_with_node "$@" clients/js/test/*.test.js
