#!/usr/bin/env bash
# The whole story in under a minute, on a temporary server of its own: a channel, a subscription, a row inserted with
# psql and its notification; the client goes away, more rows come, it resumes from its token, and nothing was lost.
#
#   scripts/demo.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
# shellcheck source=scripts/lib/story.sh
. scripts/lib/story.sh
lists() { grep -o '"lastModSeq":[0-9]*' "$1" 2>/dev/null | wc -l; }
has_lists() { [[ $(lists "$1") -ge $2 ]]; }

say "1. A server on a Postgres of its own"
"$tocsin" serve --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/out" 2>"$work/server.log" &
server=$!
until_true grep -q READY "$work/out"
export TOCSIN_URL
TOCSIN_URL=$(sed -n 's/^READY //p' "$work/out")
database=$("$tocsin" url --data-dir "$work/data")
cat "$work/out"

box=tel:+19585550100
insert() {
    echo "psql: INSERT ... '$1'"
    psql -q "$database" -c "INSERT INTO tocsin.messages (box_id, sender, recipient, body)
                            VALUES ('$box', 'tel:+19585550101', '$box', '$1')"
}

say "2. A client creates a channel, subscribes to the box $box, and opens its WebSocket"
"$tocsin" listen --user "$box" --box "$box" >"$work/first" 2>"$work/first.log" &
listener=$!
# It is connected when the channel's stream says so.
until_true sh -c "psql -Atq '$database' -c \"select 1 from tocsin.events where kind = 'channel.opened'\" | grep -q 1"

say "3. A row inserted with psql is notified"
insert hello
until_true has_lists "$work/first" 1
cat "$work/first"

say "4. The client goes away; life goes on"
token=$(grep -o '"restartToken":"[^"]*"' "$work/first" | tail -1 | cut -d'"' -f4)
kill -INT "$listener"
wait "$listener" || true
listener=''
for body in one two three; do insert "$body"; done
psql -q "$database" -c "UPDATE tocsin.messages SET flags = ARRAY['\\Seen'] WHERE box_id = '$box' AND body = 'two'"
psql -q "$database" -c "DELETE FROM tocsin.messages WHERE box_id = '$box' AND body = 'three'"
echo "psql: one read, one deleted"

say "5. It resumes from its restartToken $token"
scripts/replay.sh "$box" "$token" | tee "$work/second"

seen=$(lists "$work/second")
if [[ $seen -ne 5 ]]; then fail "expected 5 events after the token, got $seen"; fi
say "Nothing was lost: 3 messages, 1 change and 1 deletion came after the token, each once, in order."
