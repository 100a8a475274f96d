# shellcheck shell=bash
# Sourced after story.sh by scripts that need a Postgres without a server that owns it, in `work`; with a superuser, `postgres`.

# Neither Postgres nor PgBouncer runs as root. (Words before a command, so that what is started is the command itself.)
plain=()
if [[ $EUID -eq 0 ]]; then plain=(setpriv --reuid=nobody --regid=nogroup --clear-groups); fi
chmod 711 "$work"
mkdir "$work/postgres" "$work/sockets"
if [[ $EUID -eq 0 ]]; then chown nobody "$work/postgres" "$work/sockets"; fi
cd "$work" # ours may be closed to nobody

# url ROLE [NUMBER OF THE SOCKET]: how to reach the database `app`.
url() { echo "host=$work/sockets port=${2:-5432} user=$1 dbname=app"; }
# sql STATEMENT [DATABASE]
sql() { psql "host=$work/sockets user=postgres dbname=${2:-app}" -XAtqc "$1"; }
answers() { sql 'select 1' postgres >"$work/answer" 2>&1; }

init_postgres() {
    "${plain[@]}" "$(postgres_directory)/initdb" -D "$work/postgres" -U postgres -A trust --no-sync >"$work/initdb.log"
}

# start_postgres SETTING...
postgres=''
start_postgres() {
    local settings=(-c listen_addresses= -c fsync=off)
    for setting in "$@"; do settings+=(-c "$setting"); done
    "${plain[@]}" "$(postgres_directory)/postgres" -D "$work/postgres" -k "$work/sockets" "${settings[@]}" >>"$work/postgres.log" 2>&1 &
    postgres=$!
    server="$server $postgres"
    until_true answers
}
stop_postgres() {
    kill -INT "$postgres"
    wait "$postgres" || true
}
