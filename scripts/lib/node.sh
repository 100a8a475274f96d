# shellcheck shell=bash
# Sourced by the scripts that test what is written in JavaScript: sets `node` to a Node that has a WebSocket. The machine's own
# is taken if it is new enough; otherwise one is put into target/node, and nothing is installed on the machine.

has_websocket() {
    command -v "$1" >/dev/null && "$1" -e 'process.exit(typeof WebSocket === "function" && import.meta ? 0 : 1)' --input-type=module 2>/dev/null
}

set_up_node() {
    local own=$root/target/node/node_modules/node/bin/node
    for node in node "$own"; do
        if has_websocket "$node"; then return; fi
    done
    if ! command -v npm >/dev/null; then
        echo "Node 22 or newer is missing, and npm to get it" >&2
        exit 1
    fi
    mkdir -p "$root/target/node"
    npm install --prefix "$root/target/node" --no-audit --no-fund node@22 >&2
    has_websocket "$node"
}

# Sets `tsc` to the compiler of TypeScript.
set_up_typescript() {
    tsc=$root/target/node/node_modules/typescript/bin/tsc
    if [[ -f $tsc ]]; then return; fi
    mkdir -p "$root/target/node"
    npm install --prefix "$root/target/node" --no-audit --no-fund typescript@5 >&2
}

# Sets CHROMIUM to a browser, PUPPETEER to the module that drives it, and AXE to a script that looks for what shuts people out.
set_up_browser() {
    local modules=$root/target/node/node_modules
    if [[ -z ${CHROMIUM-} ]]; then
        CHROMIUM=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
    fi
    if [[ -z $CHROMIUM ]] && can_install; then
        as_root apt-get update >&2
        apt_install chromium
        CHROMIUM=$(command -v chromium)
    fi
    if [[ -z $CHROMIUM ]]; then
        echo "Chromium is missing: apt-get install chromium, or say where it is in CHROMIUM" >&2
        exit 1
    fi
    PUPPETEER=$modules/puppeteer-core/lib/esm/puppeteer/puppeteer-core.js
    AXE=$modules/axe-core/axe.min.js
    if [[ ! -f $PUPPETEER || ! -f $AXE ]]; then
        mkdir -p "$root/target/node"
        npm install --prefix "$root/target/node" --no-audit --no-fund puppeteer-core@24 axe-core@4 >&2
    fi
    export CHROMIUM PUPPETEER AXE
}

# test_with_node ARGUMENT...: builds the server, which the tests start, and runs `node --test` with these.
test_with_node() {
    cargo build --locked --quiet
    export TOCSIN=${CARGO_TARGET_DIR:-$root/target}/debug/tocsin
    exec "$node" --test --test-force-exit --test-timeout=120000 --test-reporter=spec "$@"
}
