#!/usr/bin/env bash
# All that a change must pass. The tests come last, so that their summary is the last thing printed.
#
#   scripts/test.sh [arguments of `cargo test`]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh
set_up_machine curl python3

if cargo fmt --version >/dev/null 2>&1; then
    cargo fmt --all --check
else
    echo "skipped: cargo fmt is not installed (rustup component add rustfmt)" >&2
fi
if cargo clippy --version >/dev/null 2>&1; then
    cargo clippy --all-targets --locked -- -D warnings
else
    echo "skipped: cargo clippy is not installed (rustup component add clippy)" >&2
fi
if rustdoc --version >/dev/null 2>&1; then
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked
else
    echo "skipped: rustdoc is not installed" >&2
fi

# What needs no network; scripts/audit.sh does the rest.
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --offline --log-level error check bans licenses sources
else
    echo "skipped: cargo deny is not installed (scripts/audit.sh installs it)" >&2
fi

# Tests mostly wait, for Postgres and for each other's time to pass: more of them at once than there are processors.
processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((processors * 2))}"
exec cargo test --locked --no-fail-fast "$@"
