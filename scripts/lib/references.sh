# shellcheck shell=bash
# Sourced by scripts/bench.sh: fetches what the server is compared with into target/bench. Nothing is installed on the
# machine. What cannot be had is missing in the tables, which say so. Says nothing when nothing is missing.

# Socket.IO and node-postgres, in the versions of the lock file.
fetch_socketio() {
    local from=benches/references/socketio into=target/bench/socketio
    if cmp -s $from/package-lock.json $into/package-lock.json && [[ -d $into/node_modules/socket.io ]]; then return; fi
    if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
        echo "without Socket.IO: node and npm are missing" >&2
        return
    fi
    mkdir -p $into
    cp $from/package.json $from/package-lock.json $into/
    if ! (cd $into && npm ci --omit=dev --no-audit --no-fund >&2); then
        rm -rf $into
        echo "without Socket.IO: npm failed" >&2
    fi
}

# nginx and Nchan, from Debian's packages: unpacked, so that no service is started.
fetch_nchan() {
    local into=target/bench/nginx package
    local module=$into/usr/lib/nginx/modules/ngx_nchan_module.so
    if [[ -f $module ]]; then return; fi
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        echo "without Nchan: this is not Debian" >&2
        return
    fi
    mkdir -p $into.packages
    if (cd $into.packages && apt-get download nginx libnginx-mod-nchan >&2); then
        for package in $into.packages/*.deb; do dpkg -x "$package" $into; done
        # A directory that the module makes whatever its settings say: it is to be below that of the run.
        LC_ALL=C sed -i 's#/var/lib/nginx/body#.//////////////body#' $module
    else
        echo "without Nchan: its packages cannot be had (apt-get update?)" >&2
    fi
    rm -r $into.packages
}

set_up_references() {
    fetch_socketio
    fetch_nchan
}
