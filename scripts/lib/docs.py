"""Runs what pages say, as it would be pasted; scripts/test-docs.sh calls it.

    docs.py [--port PORT] PAGE...

Each page has a server of its own, with a private Postgres in a temporary directory, and one shell, in which its blocks
run one after the other. A block is a fence in sh, sql, js, python or toml; it fails the page when a command of it fails
(curl: an answer of 400 or more). JSON, and what is in no language, is shown only. A comment right above a block says more:

    <!-- not run: WHY -->          it is left out
    <!-- runs on -->               it runs in a terminal of its own until the end of the page
    <!-- runs on: server -->       the same; it is the page's server
    <!-- runs on: listener -->     the same; it makes a subscription
    <!-- prints: TEXT -->          what this block prints has this in it
    <!-- printed -->               this is what the block before has printed
    <!-- printed there -->         this is what the last block that runs on has printed

In what is printed, `...` and moments stand for anything, and line breaks are for readers.
"""

import argparse
import os
import pathlib
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 30
BLOCK_SECONDS_MAX = 120  # what runs on is marked
FENCE = re.compile(r"(?:^<!-- (?P<mark>[^\n]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
MARK = re.compile(r"not run: .+|runs on(: (server|listener))?|prints: .+|printed( there)?")
RUN = {"sh", "sql", "js", "python", "toml"}
SHOWN = {"", "json"}
SERVER = "scripts/run.sh\n"


class Failed(Exception):
    """The page is not true."""


class Block:
    def __init__(self, page, match):
        self.mark, self.language, self.text = match["mark"] or "", match["language"], match["text"]
        self.place = f"{page}:{match.string.count(chr(10), 0, match.start('text'))}"
        if self.mark and not MARK.fullmatch(self.mark):
            raise Failed(f"{self.place}: no such mark: {self.mark}")
        if self.language not in RUN | SHOWN:
            raise Failed(f"{self.place}: neither run nor shown: {self.language}")

    @property
    def is_run(self):
        return self.language in RUN and not self.mark.startswith(("not run", "printed"))


def blocks(page):
    text = (ROOT / page).read_text()
    return [Block(page, match) for match in FENCE.finditer(text)]


def squash(text):
    return re.sub(r"\s*\n\s*", "", text.strip())


def pattern(text):
    """What is printed, as a regular expression."""
    parts = re.split(r"\.\.\.|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z", squash(text))
    return re.compile(".*?".join(map(re.escape, parts)), re.S)


def until(what, holds, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while not (seen := holds()):
        if time.monotonic() > deadline:
            raise Failed(f"gave up waiting: {what}")
        time.sleep(0.05)
    return seen


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


class Terminal:
    """What runs on, in a process group of its own."""

    def __init__(self, group, output):
        self.group, self.output = group, output

    def printed(self):
        return self.output.read_text()

    def is_there(self):
        try:
            os.killpg(self.group, 0)
            return True
        except ProcessLookupError:
            return False

    def end(self):
        if self.is_there():
            os.killpg(self.group, signal.SIGTERM)
            until("a process that was asked to end", lambda: not self.is_there())


class Shell:
    """The shell of a page, and what runs on beside it."""

    def __init__(self, work, port):
        self.work, self.port = work, port
        self.terminals, self.last_output, self.number = [], "", 0
        environment = {**os.environ, "TOCSIN_DATA_DIR": str(work / "data")}
        if port != 8080:
            environment |= {"TOCSIN_LISTEN": f"127.0.0.1:{port}", "TOCSIN_URL": f"http://127.0.0.1:{port}"}
        self.environment = environment
        self.process = subprocess.Popen(
            ["bash", "-e", "-o", "pipefail"], cwd=ROOT, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )
        self.tell('curl() { command curl --fail "$@"; }; export -f curl\n')

    def tell(self, commands):
        """Has the shell do this; answers what it says itself, or nothing when it has ended, or had to be."""
        mark = secrets.token_hex(8)
        patience = threading.Timer(BLOCK_SECONDS_MAX, os.killpg, (self.process.pid, signal.SIGKILL))
        patience.start()
        try:
            return self.told(commands, mark)
        finally:
            patience.cancel()

    def told(self, commands, mark):
        try:
            self.process.stdin.write(f"{commands}\necho {mark}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return None
        said = []
        for line in self.process.stdout:
            if line.strip() == mark:
                return "".join(said)
            said.append(line)
        return None

    def here(self, text):
        return text.replace(":8080", f":{self.port}")

    def command(self, block):
        """The block as a command of the shell, with what it prints in a file."""
        text = self.here(block.text)
        if block.language == "sh":
            return text
        self.number += 1
        ending = {"js": "mjs"}.get(block.language, block.language)
        file = self.work / f"{self.number}.{ending}"
        file.write_text(text)
        folder = (ROOT / block.place.split(":")[0]).parent
        return {
            "sql": f'psql -qv ON_ERROR_STOP=1 "$(target/release/tocsin url)" -f {file}',
            "js": f'(cd {folder}; exec "$NODE" --input-type=module <{file})',
            "python": f"python3 {file}",
            "toml": f"target/release/tocsin config check --config {file}",
        }[block.language]

    def run(self, block):
        output = self.work / "output"
        ended = self.tell(f"{{ {self.command(block)}\n}} </dev/null >{output} 2>&1")
        self.last_output = output.read_text()
        if ended is None:
            raise Failed(f"{block.place}: it failed, or did not end\n{block.text}\n{self.last_output}")
        if block.mark.startswith("prints: "):
            self.expect(block, block.mark.removeprefix("prints: "), lambda: self.last_output, patience=0)

    def run_on(self, text):
        self.number += 1
        output = self.work / f"{self.number}.output"
        output.touch()
        group = self.tell(f"set -m; {{ {text}\n}} </dev/null >{output} 2>&1 & set +m; echo $!")
        self.terminals.append(Terminal(int(group), output))
        return self.terminals[-1]

    def subscriptions(self):
        query = "psql -XAtc 'select count(*) from tocsin.subscriptions' \"$(target/release/tocsin url)\""
        done = subprocess.run(query, shell=True, cwd=ROOT, env=self.environment, capture_output=True, text=True)
        return int(done.stdout)

    def start(self, block):
        """A block that runs on, until it is ready."""
        listens = block.mark.endswith("listener")
        before = self.subscriptions() if listens else 0
        terminal = self.run_on(self.command(block))
        try:
            if listens:
                until("a subscription", lambda: self.subscriptions() > before)
            if block.mark.endswith("server"):
                self.wait_for_server(terminal)
        except Failed as fault:
            raise Failed(f"{block.place}: {fault}\n{terminal.printed()}") from None

    def wait_for_server(self, terminal):
        until("READY", lambda: "READY" in terminal.printed() or not terminal.is_there())
        if not terminal.is_there():
            raise Failed(f"the server has ended\n{terminal.printed()}")
        until("/readyz", lambda: answers(f"http://127.0.0.1:{self.port}/readyz"))

    def expect(self, block, text, printed, patience=PATIENCE):
        wanted = pattern(self.here(text))
        try:
            until("what it prints", lambda: wanted.search(squash(printed())), patience)
        except Failed:
            raise Failed(f"{block.place}: not printed:\n{text}\nbut:\n{printed()}") from None

    def take(self, block):
        if block.mark == "printed":
            self.expect(block, block.text, lambda: self.last_output, patience=0)
        elif block.mark == "printed there":
            self.expect(block, block.text, self.terminals[-1].printed)
        elif block.mark.startswith("runs on"):
            self.start(block)
        elif block.is_run:
            self.run(block)

    def end(self):
        for terminal in reversed(self.terminals):
            terminal.end()
        self.process.stdin.close()
        self.process.wait()


def check(page, port):
    """Runs a page; answers how many blocks ran."""
    found = blocks(page)
    run = [block for block in found if block.is_run]
    if not run:
        return 0  # and no server
    with tempfile.TemporaryDirectory(prefix="tocsin-docs-") as work:
        os.chmod(work, 0o711)  # the private Postgres may be another user's
        shell = Shell(pathlib.Path(work), port)
        try:
            if not any(block.mark == "runs on: server" for block in found):
                shell.wait_for_server(shell.run_on(SERVER))
            for block in found:
                shell.take(block)
        finally:
            shell.end()
    return len(run)


def files():
    return {entry for entry in ROOT.iterdir() if entry.is_file()}


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--port", type=int, default=8080, help="instead of 8080, which the pages say")
    arguments.add_argument("pages", nargs="+", metavar="PAGE")
    arguments = arguments.parse_args()
    if not is_free(arguments.port):
        sys.exit(f"port {arguments.port} is taken: name another one with --port")
    before, failed = files(), []
    for page in arguments.pages:
        try:
            print(f"{page}: {check(page, arguments.port)} blocks were run", flush=True)
        except Failed as fault:
            failed.append(page)
            print(f"FAILED {fault}", flush=True)
        said = (ROOT / page).read_text()
        for made in files() - before:
            if made.name in said:  # by a command of the page
                made.unlink()
    if failed:
        sys.exit(f"not true: {', '.join(failed)}")


if __name__ == "__main__":
    main()
