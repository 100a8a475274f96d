#!/usr/bin/env bash
# An upgrade without downtime, as it is done behind a proxy: two old nodes serve a client, a new one is started beside them
# and migrates the database, the old one that the client is on drains, and nothing is lost while somebody writes.
#
#   scripts/upgrade.sh OLD_PROGRAM [NEW_PROGRAM]       (needs nginx)
#
# OLD_PROGRAM is the tocsin of an earlier version; NEW_PROGRAM the one of this tree, when left out.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
old=$(realpath "${1:?usage: scripts/upgrade.sh OLD_PROGRAM [NEW_PROGRAM]}")
. scripts/lib/setup.sh
set_up_machine
if [[ -n ${2:-} ]]; then tocsin=$(realpath "$2"); fi
. scripts/lib/story.sh
command -v nginx >/dev/null || fail "nginx is missing (apt-get install nginx-light)"

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
ready() { curl -fsS "http://127.0.0.1:$1/readyz" >/dev/null 2>&1; }

proxy=$(free_port) first=$(free_port) second=$(free_port)
public=http://127.0.0.1:$proxy

# The client's view of the nodes: the one that serves, whichever it is.
route() {
    cat >"$work/nginx.conf" <<CONF
daemon off;
pid $work/nginx.pid;
error_log $work/nginx.log;
events {}
http {
    access_log off;
    client_body_temp_path $work/body;
    proxy_temp_path $work/proxy;
    fastcgi_temp_path $work/fastcgi;
    uwsgi_temp_path $work/uwsgi;
    scgi_temp_path $work/scgi;
    map \$http_upgrade \$connection_upgrade { default upgrade; '' ''; }
    server {
        listen 127.0.0.1:$proxy;
        location / {
            proxy_pass http://127.0.0.1:$1;
            proxy_http_version 1.1;
            proxy_set_header Host \$http_host;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection \$connection_upgrade;
            proxy_read_timeout 90s;
            proxy_buffering off;
        }
    }
}
CONF
}

say "1. Old nodes: one keeps the database, the other serves the client through a proxy"
"$old" serve --data-dir "$work/data" --listen 127.0.0.1:0 >"$work/keeper" 2>&1 &
server=$!
until_true grep -q READY "$work/keeper"
database=$("$old" url --data-dir "$work/data")
"$old" serve --database-url "$database" --listen "127.0.0.1:$first" --public-url "$public" >"$work/old" 2>&1 &
leaving=$!
server="$leaving $server"
until_true ready "$first"
route "$first"
nginx -c "$work/nginx.conf" -p "$work" >/dev/null 2>&1 &
server="$! $server"
until_true curl -fsS "$public/healthz" -o /dev/null
"$tocsin" listen --server "$public" --user ann --box b >"$work/heard" 2>"$work/listener" &
listener=$!
subscribed() { [[ $(psql "$database" -Atqc 'select count(*) from tocsin.subscriptions') -ge 1 ]]; }
until_true subscribed

say "2. Somebody writes, all the time"
count=600
(
    for n in $(seq $count); do
        psql "$database" -qc "INSERT INTO tocsin.messages (box_id, body) VALUES ('b', '$n')"
        sleep 0.02
    done
) &
writer=$!
sleep 3

say "3. A new node is started beside them: it migrates the database while the old ones serve"
"$tocsin" serve --database-url "$database" --listen "127.0.0.1:$second" --public-url "$public" >"$work/new" 2>&1 &
server="$! $server"
until_true ready "$second"

say "4. The proxy sends clients to the new node, and the old one drains"
route "$second"
nginx -c "$work/nginx.conf" -p "$work" -s reload >/dev/null 2>&1
kill -TERM "$leaving"
wait "$leaving" || fail "the old node ended with $?"

wait "$writer"
heard() { grep -o '"lastModSeq":[0-9]*' "$work/heard" | sort -u | wc -l; }
all_heard() { [[ $(heard) -ge $count ]]; }
until_true all_heard
indexes=$(grep -o '"index":[0-9]*' "$work/heard" | grep -o '[0-9]*')
[[ $(sort -n <<<"$indexes") == "$indexes" && -z $(uniq -d <<<"$indexes") ]] || fail "not in order, or something twice"
[[ $(wc -l <<<"$indexes") -eq $count ]] || fail "$(wc -l <<<"$indexes") lists for $count events"

say "$count events were written while the node was replaced: each was heard once, in order."
