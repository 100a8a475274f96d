#!/usr/bin/env bash
# Looks for lost, repeated or reordered notifications: many writers, clients and accidents at once, and at the end a
# verdict on every subscription (tests/suite/exactness). Fails when a promise was broken, and says which.
#
# With NODES, so many servers share one database, and are killed one after the other, every few seconds.
#
#   scripts/soak.sh [SECONDS] [SEED] [NODES]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh
set_up_machine

export TOCSIN_SOAK_SECONDS=${1:-600}
export TOCSIN_SOAK_SEED=${2:-$((RANDOM * 32768 + RANDOM))}
export TOCSIN_SOAK_NODES=${3:-1}
echo "seed $TOCSIN_SOAK_SEED, $TOCSIN_SOAK_SECONDS s, nodes: $TOCSIN_SOAK_NODES; crashes take their time besides" >&2

code=0
cargo test --release --locked --test suite -- --nocapture --exact \
    exactness::every_subscription_is_told_of_exactly_what_was_committed || code=$?
if [[ $code -eq 0 ]]; then
    echo "soak: every promise was kept (seed $TOCSIN_SOAK_SEED)"
else
    echo "soak: FAILED (seed $TOCSIN_SOAK_SEED)" >&2
fi
exit "$code"
