#!/usr/bin/env python3
"""Prints what a box notifies, by long polling, with the standard library only.

It goes on whatever happens to the connection, the server or the channel: nothing is lost, and nothing comes twice."""

import os

from tocsin import Place, Server, arguments, follow, run, show


def main():
    options = arguments(__doc__).parse_args()
    server = Server(options.server, os.environ.get("TOCSIN_TOKEN"))

    def polls(channel):
        while True:  # the next poll confirms what the last one brought
            yield server.request("POST", channel["channelData"]["channelURL"], timeout=120)

    lists = follow(server, options.user or options.box, options.box, Place(options.place), "LongPolling", polls)
    for events in lists:
        show(events)


if __name__ == "__main__":
    run(main)
