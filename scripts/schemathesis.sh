#!/usr/bin/env bash
# Holds a live server against its /openapi.json: requests of all kinds, made from the document by schemathesis, on a
# temporary server of its own. It is installed from PyPI into target/schemathesis.
#
#   scripts/schemathesis.sh [arguments of `schemathesis run`]
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
# shellcheck source=scripts/lib/story.sh
. scripts/lib/story.sh

tools=target/schemathesis
[[ -x $tools/bin/schemathesis ]] || {
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet 'schemathesis>=4.32,<5'
}

say "A server on a Postgres of its own"
cat >"$work/tocsin.toml" <<'TOML'
[limits]
poll_seconds = 1
requests_per_user_per_second_max = 0
callbacks_per_second_max = 100000
TOML
"$tocsin" serve --config "$work/tocsin.toml" --data-dir "$work/data" --listen 127.0.0.1:0 \
    >"$work/out" 2>"$work/server.log" &
server=$!
until_true grep -q READY "$work/out"
url=$(sed -n 's/^READY //p' "$work/out")

# Left out: what opens sockets. The checks negative_data_rejection and positive_data_acceptance are not made: requests are
# read liberally on purpose (unknown members, numbers as texts), and may be refused for what no schema says (two members
# that exclude each other, names that are no ids). Nor is ignored_auth: this server runs without authentication.
say "Requests of all kinds"
"$tools/bin/schemathesis" run "$url/openapi.json" --max-examples 20 --seed 1 --continue-on-failure --no-shrink \
    --header 'X-Tocsin-User: alice' --exclude-path-regex '^/ws/' --suppress-health-check all --warnings off \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance,unsupported_method,allow_header_conformance,use_after_free,ensure_resource_availability \
    "$@"
kill "$server"
wait "$server"
