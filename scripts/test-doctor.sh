#!/usr/bin/env bash
# Builds deployments that are each broken in one way, on a Postgres of its own, and has `tocsin doctor` find what it is; then
# that writers may come through a transaction pooler.
#
#   scripts/test-doctor.sh [PROGRAM]       (PROGRAM is the tocsin of this tree, when left out)
#
# A real PgBouncer is put in the way when there is one (PGBOUNCER names another program than `pgbouncer`), and a clock is
# moved when there is `faketime`.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine
if [[ -n ${1:-} ]]; then tocsin=$(realpath "$1"); fi
# shellcheck source=scripts/lib/story.sh
. scripts/lib/story.sh

# shellcheck source=scripts/lib/postgres.sh
. scripts/lib/postgres.sh
# Numbers of the poolers' sockets.
by_session=6432 by_transaction=6433 by_prepared=6434 by_one=6435

# finds HEALTH CHECK WORDS URL [arguments of doctor]: shows what it found, and fails unless it is this, and nothing else
# fails, and the exit code tells.
finds() {
    local health=$1 check=$2 words=$3 url=$4 code=0 line failed
    shift 4
    $clock "$tocsin" doctor --database-url "$url" "$@" >"$work/found" 2>"$work/said" || code=$?
    line=$(grep -E "^$health +$check  " "$work/found" | tr -s ' ') || fail "no '$health $check': $(cat "$work/found" "$work/said")"
    failed=$(grep -c '^fail' "$work/found" || true)
    [[ $line == *"$words"* ]] || fail "'$words' is not in: $line"
    if [[ $health == fail ]]; then
        [[ $code -eq 1 && $failed -eq 1 ]] || fail "exit code $code, and $failed failures: $(cat "$work/found")"
    else
        [[ $code -eq 0 && $failed -eq 0 ]] || fail "exit code $code, and $failed failures: $(cat "$work/found")"
    fi
    echo "$line"
}
clock='' # what the program is run with

say "Nobody is there"
init_postgres
finds fail database 'cannot be reached' "$(url server)"

say "A role that may not"
start_postgres
sql 'create database app' postgres
for role in server nobody_s writer; do sql "create role $role login"; done
sql 'create role tocsin_writer'
sql 'grant tocsin_writer to writer'
sql 'revoke create on schema public from public' # as it is since Postgres 15
finds fail rights 'GRANT CREATE ON DATABASE app TO server' "$(url server)"
sql 'grant create on database app to server'
finds warn rights 'tocsin migrate' "$(url server)"
"$tocsin" migrate --database-url "$(url server)" 2>>"$work/migrate.log"
finds ok rights 'server owns the schema' "$(url server)"
finds fail rights "the schema tocsin is server's" "$(url nobody_s)"

say "A superuser as the server's role"
finds warn superuser 'NOSUPERUSER' "$(url postgres)"

say "A role with too few connections"
sql 'alter role server connection limit 20'
finds fail limit 'CONNECTION LIMIT' "$(url server)"
sql 'alter role server connection limit -1'

say "Rights for everybody"
sql 'grant select on tocsin.objects to public'
finds fail PUBLIC 'tocsin.objects' "$(url server)"
sql 'revoke select on tocsin.objects from public'
sql 'grant create on schema public to public'
finds warn 'public schema' 'REVOKE CREATE' "$(url server)"
sql 'revoke create on schema public from public'

say "Writers without rights"
sql 'revoke insert on tocsin.messages from tocsin_writer'
finds warn tocsin_writer 'has no rights' "$(url server)"

say "A log that ends with this month, until its remedy is taken"
next=$(sql "select to_char(date_trunc('month', now() at time zone 'UTC') + interval '1 month', 'YYYY_MM')")
sql "alter table tocsin.events detach partition tocsin.events_$next; drop table tocsin.events_$next"
finds fail partitions 'for 0 months' "$(url server)"
"$tocsin" migrate --database-url "$(url server)" 2>>"$work/migrate.log"
finds ok partitions 'can be written' "$(url server)"
finds ok tocsin_writer 'has its rights' "$(url server)"

say "A schema of a newer program"
sql 'update tocsin.migrations set version = 9999 where version = (select max(version) from tocsin.migrations)'
finds fail schema 'is newer' "$(url server)"
sql 'update tocsin.migrations set version = (select max(version) + 1 from tocsin.migrations where version < 9999) where version = 9999'

say "A node that is not there"
finds fail server 'cannot be asked' "$(url server)" --server http://127.0.0.1:1

say "Clocks that differ"
if command -v faketime >/dev/null; then
    clock='env FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f -10s'
    finds warn clock 'NTP' "$(url server)"
    clock='env FAKETIME_DONT_FAKE_MONOTONIC=1 faketime -f +2m'
    finds fail clock 'NTP' "$(url server)"
    clock=''
else
    echo "skipped: faketime is not installed"
fi

say "Too few connections, no autovacuum, a standby"
stop_postgres
start_postgres max_connections=20
finds fail connections 'max_connections' "$(url server)"
stop_postgres
start_postgres autovacuum=off
finds fail autovacuum 'autovacuum = on' "$(url server)"
stop_postgres
"${plain[@]}" touch "$work/postgres/standby.signal"
start_postgres
finds fail primary 'target_session_attrs=read-write' "$(url server)"
stop_postgres
rm "$work/postgres/standby.signal"
start_postgres
finds ok session 'outlast a transaction' "$(url server)"

say "A pooler in the way"
pgbouncer=$(command -v "${PGBOUNCER:-pgbouncer}" || true)
if [[ -z $pgbouncer ]]; then
    echo "skipped: PgBouncer is not installed (apt-get install pgbouncer)"
    exit 0
fi
"$pgbouncer" --version | head -n 1
printf '"server" ""\n"writer" ""\n' >"$work/users"
# start_pooler MODE PORT [LINE...]
start_pooler() {
    local mode=$1 port=$2
    shift 2
    printf '%s\n' '[databases]' "app = host=$work/sockets port=5432" '[pgbouncer]' 'listen_addr =' "listen_port = $port" \
        "unix_socket_dir = $work/sockets" 'auth_type = trust' "auth_file = $work/users" "pool_mode = $mode" "$@" >"$work/$port.ini"
    "${plain[@]}" "$pgbouncer" "$work/$port.ini" >>"$work/pgbouncer.log" 2>&1 &
    pooler=$!
    server="$pooler $server"
    until_true test -S "$work/sockets/.s.PGSQL.$port"
}
start_pooler session "$by_session" 'default_pool_size = 60'
finds ok session 'outlast a transaction' "$(url server "$by_session")"
finds ok notify 'heard' "$(url server "$by_session")"
start_pooler transaction "$by_transaction"
for _ in 1 2; do finds fail session 'pool_mode = session' "$(url server "$by_transaction")"; done
if grep -q max_prepared_statements "$pgbouncer"; then # 1.21 and newer
    start_pooler transaction "$by_prepared" 'max_prepared_statements = 100'
    finds fail session 'settings are lost' "$(url server "$by_prepared")"
fi
start_pooler transaction "$by_one" 'default_pool_size = 1'
finds fail session 'pooler that is full' "$(url server "$by_one")"

say "A node with a connection of its own, and writers through the transaction pooler: each message is heard at once"
"$tocsin" serve --database-url "$(url server)" --listen 127.0.0.1:0 >"$work/out" 2>"$work/server.log" &
server="$! $server"
until_true grep -qs READY "$work/out"
export TOCSIN_URL
TOCSIN_URL=$(sed -n 's/^READY //p' "$work/out")
finds ok server 'is ready' "$(url server)" --server "$TOCSIN_URL"
"$tocsin" listen --user ann --box b >"$work/heard" 2>"$work/listener" &
listener=$!
opened() { [[ $(sql "select count(*) from tocsin.events where kind = 'channel.opened'") -eq 1 ]]; }
until_true opened
figure() { curl -fsS "$TOCSIN_URL/metrics" | sed -n "s/^$1 //p"; }
rings=$(figure tocsin_doorbell_rings_total)
count=50
for n in $(seq $count); do
    psql "$(url writer "$by_transaction")" -Xqc "INSERT INTO tocsin.messages (box_id, body) VALUES ('b', '$n')"
    until_true grep -q "\"index\":$n," "$work/heard"
done
# A node that is not rung looks once a second.
[[ $(figure tocsin_doorbell_rings_total) -ge $((rings + count)) ]] || fail "not every message rang"
say "$count messages came through $("$pgbouncer" --version | head -n 1), each rang, and each was heard."
