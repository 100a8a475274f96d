#!/usr/bin/env bash
# Measures latency, throughput, fan-out and memory beside what others do, on this machine: see docs/BENCHMARKS.md.
#
#   scripts/bench.sh [all | latency | writers | fanout | boxes | memory | nms | matching | replay | nodes | log]...
#                    [--only tocsin,socketio,nchan,relay,notify,plain] [--seconds S] [--rounds N] [--events N] [--help]
#   scripts/bench.sh micro      what single steps of delivery cost
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh
. scripts/lib/references.sh
set_up_machine
if [[ ${1:-} == micro ]]; then
    shift
    exec cargo bench --locked --bench micro -- "$@"
fi
set_up_references

ulimit -n "$(ulimit -Hn)" # thousands of sockets, each of which is open at both ends

exec cargo bench --locked --bench delivery -- "$@"
