#!/usr/bin/env bash
# Measures latency and throughput against plain Postgres, on this machine: see docs/BENCHMARKS.md.
#
#   scripts/bench.sh [writers | latency | nms] [--seconds S] [--rounds N] [--writers N,...] [--rates N,...]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh
set_up_machine

exec cargo bench --locked --bench delivery -- "$@"
