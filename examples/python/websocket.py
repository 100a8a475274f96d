#!/usr/bin/env python3
"""Prints what a box notifies, over a WebSocket. It needs the package `websockets` (pip install 'websockets>=13').

It goes on whatever happens to the connection, the server or the channel: nothing is lost, and nothing comes twice."""

import json
import os

from tocsin import Place, Server, arguments, follow, run, show
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

SUBPROTOCOL = "notificationchannel-netapi-rest.openmobilealliance.org"
QUIET_SECONDS = 30


def frames(channel):
    """What comes over the socket of a channel, until it fails."""
    url = channel["channelData"]["channelURL"]
    try:
        with connect(url, subprotocols=[SUBPROTOCOL], max_size=None) as socket:
            while True:
                try:
                    yield json.loads(socket.recv(timeout=QUIET_SECONDS))
                except TimeoutError:
                    yield {}
    except WebSocketException as fault:
        raise OSError(f"the socket: {fault}") from None


def main():
    options = arguments(__doc__).parse_args()
    server = Server(options.server, os.environ.get("TOCSIN_TOKEN"))
    place = Place(options.place)
    for events in follow(server, options.user or options.box, options.box, place, "WebSockets", frames):
        show(events)


if __name__ == "__main__":
    run(main)
