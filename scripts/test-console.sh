#!/usr/bin/env bash
# Tests the console in a headless Chromium, against a real server with a Postgres of its own.
#
#   scripts/test-console.sh [arguments of `node --test`]
#
# PICTURES=DIRECTORY has it take pictures.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
# shellcheck source=scripts/lib/node.sh
. scripts/lib/node.sh
set_up_node
set_up_browser

cargo build --locked --quiet
export TOCSIN=${CARGO_TARGET_DIR:-$root/target}/debug/tocsin
exec "$node" --test --test-force-exit --test-timeout=120000 --test-reporter=spec "$@" console/test/*.test.js
