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

test_with_node "$@" console/test/*.test.js
