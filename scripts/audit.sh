#!/usr/bin/env bash
# Looks at all crates that this program is made of: their licences, where they come from, and what is known of them to be
# unsafe or abandoned. Installs cargo-deny and cargo-audit when they are missing, which takes minutes.
#
#   scripts/audit.sh
#
# The advisories come from the network. Where they cannot be fetched, all the rest is looked at, and the exit code is 2.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/lib/setup.sh
set_up_machine

for tool in cargo-deny cargo-audit; do
    if ! command -v "$tool" >/dev/null; then
        echo "installing $tool (cargo install --locked $tool)" >&2
        cargo install --locked "$tool" >&2
    fi
done

cargo deny --offline check bans licenses sources
if ! cargo deny fetch db; then
    echo "not looked at: the database of advisories cannot be fetched. Licences, bans and sources are in order" >&2
    exit 2
fi
cargo deny check advisories
cargo audit
