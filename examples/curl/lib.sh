# shellcheck shell=bash
# Sourced by the scripts beside it: where the server is, and how it is asked.

server=${TOCSIN_URL:-http://127.0.0.1:8080}

# ask METHOD URL [BODY]: prints the answer; fails when it is a refusal.
ask() {
    local headers=(-H 'Accept: application/json')
    if [[ -n ${TOCSIN_TOKEN-} ]]; then headers+=(-H "Authorization: Bearer $TOCSIN_TOKEN"); fi
    if [[ $# -gt 2 ]]; then headers+=(-H 'Content-Type: application/json' --data "$3"); fi
    curl -sS --fail --max-time 30 -X "$1" "${headers[@]}" "$2"
}

# A text as a part of a URL, and as a text in JSON.
segment() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; }
quoted() {
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

# last NAME JSON: the last text of this name.
last() { grep -o "\"$1\":\"[^\"]*\"" <<<"$2" | tail -n 1 | cut -d'"' -f4; }
