#!/usr/bin/env bash
# Any table as a source, in under a minute, on a temporary server of its own: a table of movies from a CSV, watched; its rows
# as JSON over HTTP; a client that follows one film; its premiere moves, over HTTP and with psql, and the client is told the
# old date and the new one.
#
#   scripts/movies.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
# shellcheck source=scripts/lib/story.sh
. scripts/lib/story.sh
# The lists that came, and the values of an attribute in them.
lists() { grep -o '"lastModSeq":[0-9]*' "$work/told" 2>/dev/null | wc -l; }
has_lists() { [[ $(lists) -ge $1 ]]; }
values() { grep -o "{\"name\":\"$1\",\"value\":\[\"[^\"]*\"\]}" "$work/told" | sed 's/.*\["\(.*\)"\]}/\1/'; }

say "1. A server on a Postgres of its own"
"$tocsin" serve --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/out" 2>"$work/server.log" &
server=$!
until_true grep -q READY "$work/out"
url=$(sed -n 's/^READY //p' "$work/out")
database=$("$tocsin" url --data-dir "$work/data")
cat "$work/out"

say "2. A table of movies, populated from examples/movies/movies.csv"
psql -q "$database" -c 'CREATE TABLE movies (id bigint PRIMARY KEY, title text NOT NULL, director text, premiere date, genre text)'
psql "$database" -c '\copy movies FROM examples/movies/movies.csv WITH (FORMAT csv, HEADER)'

say "3. It is watched: what changes in it is told in the box 'movies'"
"$tocsin" watch movies --key id --box movies --data-dir "$work/data"
"$tocsin" watch --list --data-dir "$work/data"

say "4. Its rows over HTTP"
curl -sf "$url/api/tables/movies?limit=3" && echo

say "5. A client follows one film, number 8"
"$tocsin" listen --server "$url" --user cinema --box movies --attribute key=8 --with-attributes >"$work/told" 2>"$work/listen.log" &
listener=$!
# It is connected when the channel's stream says so.
until_true sh -c "psql -Atq '$database' -c \"select 1 from tocsin.events where kind = 'channel.opened'\" | grep -q 1"

say "6. Its premiere moves: once over HTTP, once with psql, together with all others"
curl -sf -X PUT -H 'Content-Type: application/json' "$url/api/tables/movies/8" -d '{"premiere": "2026-06-19"}' && echo
until_true has_lists 1
psql "$database" -c 'UPDATE movies SET premiere = premiere + 7'
until_true has_lists 2

say "7. What the client was told"
cat "$work/told"
paste <(values title) <(values old.premiere) <(values premiere) |
    while IFS=$'\t' read -r title old new; do echo "$title: $old -> $new"; done | tee "$work/short"

expected="The Cartographer: 2026-06-12 -> 2026-06-19
The Cartographer: 2026-06-19 -> 2026-06-26"
if [[ $(cat "$work/short") != "$expected" ]]; then fail "that is not what happened"; fi
say "One film of twenty was followed: two changes, each once, with the old date and the new one."
