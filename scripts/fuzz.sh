#!/usr/bin/env bash
# Fuzzes the decoders, guided by coverage: each target for SECONDS (default 60), from the corpus in tests/fuzz.
# Needs a nightly toolchain (rustup toolchain install nightly); installs cargo-fuzz when it is missing.
#
#   scripts/fuzz.sh [SECONDS] [TARGET...]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-60}
shift || true
targets=("$@")
[[ ${#targets[@]} -gt 0 ]] || targets=(json xml form socket token multipart)
command -v cargo-fuzz > /dev/null || cargo install --locked cargo-fuzz

for target in "${targets[@]}"; do
    echo "fuzz: $target, $seconds s" >&2
    mkdir -p "fuzz/corpus/$target"
    cargo +nightly fuzz run "$target" "fuzz/corpus/$target" "tests/fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -print_final_stats=0
done
echo "fuzz: nothing found"
