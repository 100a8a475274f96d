#!/usr/bin/env bash
# How many bytes of the database a message, a change and a client take: the figures of "Sizing" in docs/OPERATIONS.md. They
# do not depend on how fast or busy the machine is.
#
#   scripts/size.sh [MESSAGES]       (100000, when left out)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
# shellcheck source=scripts/lib/story.sh
. scripts/lib/story.sh
# shellcheck source=scripts/lib/postgres.sh
. scripts/lib/postgres.sh
messages=${1:-100000} clients=500

init_postgres
# What is compared is of the same moment of a checkpoint: none comes in between.
start_postgres max_wal_size=20GB checkpoint_timeout=1h
sql 'create role server login' postgres
sql 'create database app owner server' postgres
"$tocsin" migrate --database-url "$(url server)" 2>"$work/migrate.log"
# Each statement is a transaction. (What waits for the disk writes as many bytes.)
many() { PGOPTIONS='-c synchronous_commit=off' psql "$(url server)" -XAtq >"$work/answers"; }

# bytes TABLES: with their indexes and what is stored apart.
bytes() {
    sql "select coalesce(sum(pg_total_relation_size(oid)), 0) from pg_class
         where relnamespace = 'tocsin'::regnamespace and relkind = 'r' and relname ~ '^($1)\$'"
}
wal() { sql "select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"; }
indexed() { [[ $(curl -fsS "$url/metrics" | sed -n 's/^tocsin_terms_waiting //p') -eq 0 ]]; }
row() { printf '| %s | %s |\n' "$1" "$2"; }
# per COUNT BEFORE AFTER
per() { echo $((($3 - $2) / $1)); }

# Texts of this repository's own words, as often as they come there, until there are 200 bytes.
grep -hoE '[A-Za-z]{2,}' "$root"/docs/*.md >"$work/words"
text='
    BEGIN { while ((getline word < WORDS) > 0) words[n++] = word }
    function text(t) { while (length(t) < 200) t = t words[int(rand() * n)] " "; return substr(t, 1, 200) }'

echo "| bytes in the database | |"
echo "| --- | ---: |"
log=$(bytes 'events_.*') objects=$(bytes objects) terms=$(bytes object_terms) everything=$(bytes '.*')
sql checkpoint
began=$(wal)
awk -v count="$messages" -v WORDS="$work/words" "$text"'
BEGIN { for (i = 0; i < count; i++) printf "INSERT INTO tocsin.messages (box_id, sender, recipient, body) VALUES " \
    "('\''tel:+1958555%04d'\'', '\''tel:+19585550101'\'', '\''tel:+19585550100'\'', '\''%s'\'');\n", int(rand() * 1000), text("") }' | many
ended=$(wal)
row "a message of 200 bytes, in the log" "$(per "$messages" "$log" "$(bytes 'events_.*')")"
row "its object" "$(per "$messages" "$objects" "$(bytes objects)")"
row "WAL of its INSERT" "$(per "$messages" "$began" "$ended")"

# A node makes the index of terms afterwards.
"$tocsin" serve --database-url "$(url server)" --listen 127.0.0.1:0 >"$work/out" 2>"$work/server.log" &
server="$! $server"
until_true grep -qs READY "$work/out"
url=$(sed -n 's/^READY //p' "$work/out")
for _ in $(seq 120); do indexed && break || sleep 5; done
indexed || fail "the index of terms does not get on"
row "the index of its words" "$(per "$messages" "$terms" "$(bytes object_terms)")"
row "WAL of that" "$(per "$messages" "$ended" "$(wal)")"
row "all tables, for each message" "$(per "$messages" "$everything" "$(bytes '.*')")"

changes=$((messages / 10))
log=$(bytes 'events_.*')
seq $changes | sed 's/.*/UPDATE tocsin.messages SET flags = ARRAY['\''\\Seen'\''] WHERE id = &;/' | many
row "a change of its flags, in the log" "$(per "$changes" "$log" "$(bytes 'events_.*')")"

log=$(bytes 'events_.*') rows=$(bytes 'channels|subscriptions|channel_lifetimes|cursors|sent')
for n in $(seq $clients); do
    channel=$(curl -fsS -H 'Content-Type: application/json' "$url/notificationchannel/v1/user$n/channels" \
        -d '{"notificationChannel": {"channelType": "WebSockets", "channelLifetime": 3600}}')
    callback=$(sed 's/.*"callbackURL":"\([^"]*\)".*/\1/' <<<"$channel")
    curl -fsS -o /dev/null -H 'Content-Type: application/json' "$url/nms/v1/default/user$n/subscriptions" \
        -d "{\"nmsSubscription\": {\"callbackReference\": {\"notifyURL\": \"$callback\"}}}"
done
row "a channel with a subscription: rows" "$(per $clients "$rows" "$(bytes 'channels|subscriptions|channel_lifetimes|cursors|sent')")"
row "and in the log" "$(per $clients "$log" "$(bytes 'events_.*')")"
