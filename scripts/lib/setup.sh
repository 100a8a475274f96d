# shellcheck shell=bash
# Sourced by the scripts beside this directory: makes a machine ready to build and run the server.
# Says nothing when nothing is missing.

# Prints the directory with both `postgres` and `initdb`, if there is one; the server looks in the same places.
postgres_directory() {
    local program dir
    if program=$(command -v postgres); then
        dir=$(dirname "$(readlink -f "$program")")
        if [[ -x $dir/initdb ]]; then
            echo "$dir"
            return
        fi
    fi
    # A pattern without a match stays a word, and is no directory.
    for dir in "$(pg_config --bindir 2>/dev/null || true)" \
        /usr/lib/postgresql/*/bin /usr/pgsql-*/bin \
        /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
        if [[ -x $dir/postgres && -x $dir/initdb ]]; then
            echo "$dir"
            return
        fi
    done
    return 1
}

have_postgres() { postgres_directory >/dev/null; }

# Runs a command as root, or fails when that would take a password.
as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

can_install() {
    command -v apt-get >/dev/null && as_root true 2>/dev/null
}

# apt_install PACKAGE...: its output goes to stderr, because stdout is the server's.
apt_install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" >&2
}

# Debian starts a cluster of its own with the package, which nobody here needs.
install_postgres() {
    apt_install postgresql-common
    as_root sed -Ei 's/^#? *create_main_cluster *=.*/create_main_cluster = false/' \
        /etc/postgresql-common/createcluster.conf
    apt_install postgresql postgresql-client
}

# set_up_machine [PROGRAM]...: what building and running takes, and programs whose packages are called as they are.
set_up_machine() {
    if ! command -v cargo >/dev/null && [[ -f $HOME/.cargo/env ]]; then
        # shellcheck source=/dev/null
        . "$HOME/.cargo/env" # rustup was installed, and the shell has not been restarted since
    fi
    if ! command -v cargo >/dev/null; then
        echo "cargo is missing: install Rust, see https://rustup.rs" >&2
        exit 1
    fi

    local missing=() programs=() program
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        programs+=("$program")
        missing+=("$program (apt-get install $program)")
    done
    command -v cc >/dev/null || missing+=("a C compiler (apt-get install gcc libc6-dev)")
    have_postgres || missing+=("Postgres 14 to 18 (apt-get install postgresql, brew install postgresql)")
    if [[ ${#missing[@]} -eq 0 ]]; then return; fi

    if ! can_install; then
        printf 'missing: %s\n' "${missing[@]}" >&2
        exit 1
    fi
    printf 'installing %s\n' "${missing[@]}" >&2
    as_root apt-get update >&2
    if [[ ${#programs[@]} -gt 0 ]]; then apt_install "${programs[@]}"; fi
    command -v cc >/dev/null || apt_install gcc libc6-dev
    have_postgres || install_postgres
}
