#!/usr/bin/env bash
# Has what a box notifies posted to a URL, until the channel is deleted; prints the channel, with the secret of its signatures.
#
#   webhook.sh BOX URL
#
# URLs on this machine or in private networks are refused, unless the server runs with --allow-private-targets.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
box=$(segment "${1:?usage: webhook.sh BOX URL}") url=${2:?usage: webhook.sh BOX URL}

channel=$(ask POST "$server/notificationchannel/v1/$box/channels" "{\"notificationChannel\":
    {\"channelType\": \"webhooks\", \"channelData\": {\"x-webhookURL\": $(quoted "$url")}}}")
ask POST "$server/nms/v1/default/$box/subscriptions" "{\"nmsSubscription\":
    {\"callbackReference\": {\"notifyURL\": \"$(last callbackURL "$channel")\"}}}" >/dev/null
printf '%s\n' "$channel"
