"""What the programs beside it share: requests, and a place in the log that outlives them. The standard library only."""

import argparse
import http.client
import json
import os
import pathlib
import signal
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


LIFETIME_SECONDS = 600
PROLONG_SECONDS = 200


class Refused(Exception):
    """The server said no; `status` is that of HTTP."""

    def __init__(self, status, text):
        super().__init__(f"{status} {text}")
        self.status = status


class Gap(Exception):
    """A list is missing: make a new subscription, which begins where we are."""


# What may pass if one waits: no connection, no server, a channel that has ended.
PASSING = (OSError, http.client.HTTPException, Gap, Refused)


class Server:
    def __init__(self, url, token=None):
        self.url, self.token = url.rstrip("/"), token

    def request(self, method, url, body=None, timeout=30):
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(urllib.parse.urljoin(self.url, url), data, headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=timeout) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as fault:
            raise Refused(fault.code, fault.read().decode(errors="replace")) from None

    def channel(self, user, kind, data=None):
        wish = {"channelType": kind, "channelLifetime": LIFETIME_SECONDS, **({"channelData": data} if data else {})}
        url = f"/notificationchannel/v1/{urllib.parse.quote(user, '')}/channels"
        return self.request("POST", url, {"notificationChannel": wish})["notificationChannel"]

    def subscribe(self, box, channel, token):
        wish = {"callbackReference": {"notifyURL": channel["callbackURL"]}, "x-attributes": True}
        if token:
            wish["restartToken"] = token
        url = f"/nms/v1/default/{urllib.parse.quote(box, '')}/subscriptions"
        return self.request("POST", url, {"nmsSubscription": wish})["nmsSubscription"]

    def prolong(self, channel, subscription):
        lifetime = {"notificationChannelLifetime": {"channelLifetime": LIFETIME_SECONDS}}
        self.request("PUT", f"{channel['resourceURL']}/channelLifetime", lifetime)
        update = {"nmsSubscriptionUpdate": {"duration": subscription["duration"]}}
        self.request("POST", subscription["resourceURL"], update)

    def delete(self, channel):
        """Its subscriptions end with it."""
        try:
            self.request("DELETE", channel["resourceURL"])
        except PASSING:
            pass  # it ends by itself


class Place:
    """How far we are: everything up to `token` was dealt with. With a file, also the next time."""

    def __init__(self, file=None):
        self.file = pathlib.Path(file) if file else None
        there = self.file and self.file.exists()
        self.token = self.file.read_text().strip() if there else None
        self.next_index = None

    def begin(self, subscription):
        self.next_index = subscription["index"]
        self.token = self.token or subscription["restartToken"]

    def news(self, answer):
        """The lists of an answer that are new; each counts as dealt with when the next one is asked for."""
        for notification in answer.get("notificationList") or []:
            events = notification.get("nmsEventList")
            if events is None or events["index"] < self.next_index:
                continue  # of another kind; or it came before
            if events["index"] > self.next_index:
                raise Gap(f"list {events['index']} instead of {self.next_index}")
            yield events
            self.next_index += 1
            self.token = events["restartToken"]
            self.keep()

    def keep(self):
        if self.file:
            new = self.file.with_suffix(".new")
            new.write_text(self.token)
            new.replace(self.file)


def arguments(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--server", default=os.environ.get("TOCSIN_URL", "http://127.0.0.1:8080"))
    parser.add_argument("--user", help="whose channel it is; the box's, unless said otherwise")
    parser.add_argument("--place", metavar="FILE", help="keep the place there, and go on from it the next time")
    parser.add_argument("box")
    return parser


def follow(server, user, box, place, kind, lists_of, data=None):
    """Each list of a box, once and in order, for ever. `lists_of(channel)` are the answers of one channel, until it fails:
    then there is a new one, which goes on where we are."""
    pause = 0.1
    while True:
        channel = None
        try:
            channel = server.channel(user, kind, data)
            subscription = server.subscribe(box, channel, place.token)
            place.begin(subscription)
            prolonged = time.monotonic()
            for answer in lists_of(channel):
                pause = 0.1
                yield from place.news(answer)
                if time.monotonic() > prolonged + PROLONG_SECONDS:
                    server.prolong(channel, subscription)
                    prolonged = time.monotonic()
        except PASSING as fault:
            if place.next_index is None and isinstance(fault, Refused):
                raise  # it never worked: this will not pass
            print(f"{fault}; again in {pause:.1f} s", file=sys.stderr)
            time.sleep(pause)
            pause = min(2 * pause, 5)
        finally:
            if channel:
                server.delete(channel)


def run(main):
    """Until Ctrl-C or SIGTERM, which both clean up."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        pass


def show(events):
    """Deals with a list: here it is printed. What has no attributes is gone, or is a folder, or a resetBox."""
    for event in events["nmsEvent"]:
        [(kind, item)] = event.items()
        attributes = (item or {}).get("attributes", {}).get("attribute", [])
        text = next((one["value"][0] for one in attributes if one["name"] == "TextContent"), "")
        print(events["index"], kind, (item or {}).get("resourceURL", ""), text, flush=True)
