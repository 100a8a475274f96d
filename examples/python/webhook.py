#!/usr/bin/env python3
"""Has what a box notifies posted here, and prints it, with the standard library only.

Each post is signed (Standard Webhooks): what is not, or is too old, is refused. What is answered with an error, or not at all,
is posted again; what comes twice is dropped. On this machine the server must run with --allow-private-targets."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import time

from tocsin import Gap, Place, Server, arguments, follow, run, show

MINUTES_MAX = 5


def is_signed(headers, body, secret):
    """Whether the server has signed this, and lately."""
    moment = headers.get("webhook-timestamp", "")
    if not moment.isdecimal() or abs(time.time() - int(moment)) > 60 * MINUTES_MAX:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{headers.get('webhook-id')}.{moment}.".encode() + body
    own = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any(hmac.compare_digest(own, theirs) for theirs in headers.get("webhook-signature", "").split())


class Hook(http.server.BaseHTTPRequestHandler):
    secret = place = gap = None

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(self.take(body))
        self.end_headers()

    def take(self, body):
        if not is_signed(self.headers, body, self.secret):
            return 401
        try:
            for events in self.place.news(json.loads(body)):
                show(events)
        except Gap as gap:
            Hook.gap = gap
            return 500
        return 204

    def log_message(self, *_):
        pass


def main():
    parser = arguments(__doc__)
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--url", help="where the server reaches us; http://127.0.0.1:PORT/ unless said otherwise")
    options = parser.parse_args()
    server = Server(options.server, os.environ.get("TOCSIN_TOKEN"))
    Hook.place = Place(options.place)
    with http.server.HTTPServer(("0.0.0.0" if options.url else "127.0.0.1", options.port), Hook) as listener:
        listener.timeout = 1
        url = options.url or f"http://127.0.0.1:{listener.server_port}/"
        data = {"x-webhookURL": url}

        def posts(channel):
            Hook.secret = channel["channelData"]["x-webhookSecret"]
            print(f"posted to {url}", file=sys.stderr, flush=True)
            while True:
                listener.handle_request()  # one at a time: the server posts the next one when this one is answered
                if gap := Hook.gap:
                    Hook.gap = None
                    raise gap
                yield {}

        for _ in follow(server, options.user or options.box, options.box, Hook.place, "webhooks", posts, data):
            pass  # they come by the hook


if __name__ == "__main__":
    run(main)
