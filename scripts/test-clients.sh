#!/usr/bin/env bash
# Tests the clients of other languages against a real server with a Postgres of its own.
#
#   scripts/test-clients.sh [arguments of `node --test`]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
# shellcheck source=scripts/lib/node.sh
. scripts/lib/node.sh
set_up_node

test_with_node "$@" clients/js/test/*.test.js
