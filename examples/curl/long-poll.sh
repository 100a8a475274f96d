#!/usr/bin/env bash
# Receives what a box notifies, by long polling: a line of JSON for each answer that has something in it.
#
#   long-poll.sh BOX [RESTART_TOKEN]
#
# With a token it begins with what came after it. It goes on whatever happens to the connection, the server or the channel.
# Ctrl-C ends it; it says from which token to go on.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
box=$(segment "${1:?usage: long-poll.sh BOX [RESTART_TOKEN]}")
token=${2-} channel='' subscription='' poll='' ending=''

# A channel, and a subscription that delivers to it, from the token on.
make() {
    local from=''
    channel=$(ask POST "$server/notificationchannel/v1/$box/channels" \
        '{"notificationChannel": {"channelType": "LongPolling", "channelLifetime": 600}}') || return
    if [[ -n $token ]]; then from=", \"restartToken\": \"$token\""; fi
    subscription=$(ask POST "$server/nms/v1/default/$box/subscriptions" "{\"nmsSubscription\":
        {\"callbackReference\": {\"notifyURL\": \"$(last callbackURL "$channel")\"}$from}}") || return
    token=$(last restartToken "$subscription")
}

clean_up() {
    if [[ -n $channel ]]; then ask DELETE "$(last resourceURL "$channel")" || true; fi
    echo "to go on from here: long-poll.sh '${1-}' $token" >&2
}

# Polls, until there is an answer or we are to end: a trap runs while `read` waits, but not while a command does.
poll() {
    exec 3< <(exec curl -sS -w '\n%{http_code}' -X POST --max-time 120 "$(last channelURL "$channel")")
    poll=$!
    if [[ -n $ending ]]; then end; fi
    IFS= read -r -d '' answer <&3 || true # to its end
    exec 3<&-
    poll=''
}

# Not in the midst of a list, whose token would not be noted.
end() {
    ending=yes
    if [[ -n $poll ]]; then kill "$poll" 2>/dev/null || true; fi
}

make
trap 'clean_up "$1"' EXIT
trap end INT TERM
while [[ -z $ending ]]; do
    if ((SECONDS > 40000)); then # a subscription lasts for a day
        ask DELETE "$(last resourceURL "$channel")" || true
        if make; then SECONDS=0; fi
    fi
    # The next poll confirms what this one brought; what was lost on the way comes again.
    poll
    status=${answer##*$'\n'} answer=${answer%$'\n'*}
    case $status in
        200)
            if [[ $answer == *restartToken* ]] && new=$(last restartToken "$answer"); then
                printf '%s\n' "$answer"
                token=$new
            fi
            ;;
        404) make || sleep 1 ;; # the channel has ended meanwhile
        *) sleep 1 ;;
    esac
done
