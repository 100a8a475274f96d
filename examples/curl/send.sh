#!/usr/bin/env bash
# Puts a message into a box.
#
#   send.sh BOX TEXT
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
box=${1:?usage: send.sh BOX TEXT} text=${2:?usage: send.sh BOX TEXT}

ask POST "$server/nms/v1/default/$(segment "$box")/objects" \
    "{\"object\": {\"attributes\": {\"attribute\": [{\"name\": \"TextContent\", \"value\": [$(quoted "$text")]}]}}}"
echo
