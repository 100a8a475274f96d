//! What stands below the help of each command: examples, which a test parses.

/// Of tocsin itself.
pub(super) const TOCSIN: &str = "\
Examples:
  tocsin
  tocsin serve --database-url postgres://tocsin@db/tocsin --listen 127.0.0.1:8080
  tocsin listen --user alice --box alice
  psql \"$(tocsin url)\"

Exit status:
  0  done
  1  failed; why is on stderr
  2  the command line is wrong: nothing was done

Settings: a flag wins over its environment variable, which wins over the file of --config, which wins over the
default; `tocsin config show` says which one did. Colours are for terminals only; NO_COLOR turns them off.";

pub(super) const SERVE: &str = "\
Examples:
  tocsin serve
  tocsin serve --config /etc/tocsin.toml
  tocsin serve --listen 0.0.0.0:443 --tls-cert tls.pem --tls-key tls.key --auth jwt --jwt-key-file jwt.pub.pem

It prints `READY URL` when it takes requests. SIGTERM or Ctrl-C drain it, a second one ends it at once (exit status 1).";

pub(super) const MIGRATE: &str = "\
Examples:
  tocsin migrate --database-url postgres://tocsin@db/tocsin";

pub(super) const REBUILD: &str = "\
Examples:
  tocsin rebuild
  tocsin rebuild --database-url postgres://tocsin@db/tocsin --while-serving";

pub(super) const DOCTOR: &str = "\
Examples:
  tocsin doctor
  tocsin doctor --database-url postgres://tocsin@db/tocsin --server http://127.0.0.1:8080 --output json";

pub(super) const ROTATE_KEY: &str = "\
Examples:
  tocsin rotate-key --keep 36h
  tocsin rotate-key --now";

pub(super) const URL: &str = "\
Examples:
  psql \"$(tocsin url)\"
  tocsin url --data-dir /var/lib/tocsin";

pub(super) const LISTEN: &str = "\
Examples:
  tocsin listen --user alice --box alice
  tocsin listen --user cinema --box movies --attribute key=8 --with-attributes
  tocsin listen --user alice --box alice --output json | jq .
  tocsin listen --user alice --box alice --exec 'cat >> notifications.jsonl'

It goes on over lost connections and restarts of the server, from where it was. Ctrl-C ends it, with exit status 0.";

pub(super) const REPLAY: &str = "\
Examples:
  tocsin replay alice
  tocsin replay alice 2026-01-31T12:00:00.123456Z | jq .";

pub(super) const EXPLAIN: &str = "\
Examples:
  tocsin explain http://127.0.0.1:8080/nms/v1/default/alice/subscriptions/01a1f 7
  tocsin explain 01a1f default/alice/7 --output json";

pub(super) const WATCH: &str = "\
Examples:
  tocsin watch movies --key id --box movies
  tocsin watch sales.orders --key id --box column:customer --operations insert,update --columns state
  tocsin watch movies --key id --box movies --when 'new.premiere is distinct from old.premiere'
  tocsin watch --list --output json";

pub(super) const UNWATCH: &str = "\
Examples:
  tocsin unwatch sales.orders";

pub(super) const GRANT: &str = "\
Examples:
  tocsin grant ann box/bob read,write
  tocsin grant '*' table/movies";

pub(super) const REVOKE: &str = "\
Examples:
  tocsin revoke ann box/bob";

pub(super) const GRANTS: &str = "\
Examples:
  tocsin grants
  tocsin grants --output json | jq '.[].resource'";

pub(super) const CHECK: &str = "\
Examples:
  tocsin config check --config /etc/tocsin.toml";

pub(super) const SHOW: &str = "\
Examples:
  tocsin config show --config /etc/tocsin.toml
  tocsin config show --output json | jq '.[] | select(.source != \"default\")'";

pub(super) const EXAMPLE: &str = "\
Examples:
  tocsin config example > tocsin.toml";

pub(super) const TOKEN_KEY: &str = "\
Examples:
  tocsin token key --out /etc/tocsin/jwt --algorithm eddsa";

pub(super) const TOKEN_SECRET: &str = "\
Examples:
  tocsin token secret > secret";

pub(super) const TOKEN_ISSUE: &str = "\
Examples:
  tocsin token issue --key jwt.pem --user alice --expires 2h
  tocsin token issue --secret-file secret --user admin --scope tocsin.admin";

pub(super) const COMPLETIONS: &str = "\
Examples:
  tocsin completions bash > /etc/bash_completion.d/tocsin
  tocsin completions zsh > /usr/share/zsh/site-functions/_tocsin
  tocsin completions fish > ~/.config/fish/completions/tocsin.fish";

pub(super) const MAN: &str = "\
Examples:
  tocsin man > /usr/share/man/man1/tocsin.1
  tocsin man --dir /usr/share/man/man1";
