//! From SQLSTATE to the domain's errors, in one place.

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::error::SqlState;

use crate::base::Error;

impl From<tokio_postgres::Error> for Error {
    fn from(fault: tokio_postgres::Error) -> Self {
        let Some(db) = fault.as_db_error() else {
            // Not an answer of the server: the connection broke, or never was.
            return Error::Busy(format!("database: {fault}"));
        };
        let code = db.code();
        if *code == SqlState::UNTRANSLATABLE_CHARACTER || *code == SqlState::CHARACTER_NOT_IN_REPERTOIRE {
            return Error::invalid("Request-Body"); // a NUL, which no text in Postgres can hold
        }
        if *code == SqlState::DUPLICATE_OBJECT {
            return Error::Policy { rule: db.message().to_owned() }; // a name that is taken
        }
        if *code == SqlState::PROGRAM_LIMIT_EXCEEDED {
            return Error::TooLarge { part: "Request-Body" }; // what it says does not fit into one event
        }
        // Our functions say which part of a request cannot be used, and what could.
        if *code == SqlState::INVALID_PARAMETER_VALUE
            && let Some(part) = db.column()
        {
            return match db.detail() {
                Some(valid) => Error::choice(part, valid),
                None => Error::invalid(part),
            };
        }
        match &code.code()[..2] {
            // Connection, resources, an operator's intervention, a transaction that lost a race: all pass.
            "08" | "53" | "57" | "40" | "55" => Error::Busy(format!("database: {db}")),
            _ => Error::internal(fault),
        }
    }
}

/// Why no connection could be had, and what can be done about it.
pub fn not_connected(fault: tokio_postgres::Error, config: &Config) -> anyhow::Error {
    let remedy = match fault.code() {
        Some(code) if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            "are user and password of --database-url right, and does pg_hba.conf let them in?"
        }
        Some(code) if *code == SqlState::INVALID_CATALOG_NAME => {
            "make it with createdb, or name another in --database-url"
        }
        Some(code) if *code == SqlState::TOO_MANY_CONNECTIONS => "close others, or raise max_connections of Postgres",
        Some(code) if *code == SqlState::CANNOT_CONNECT_NOW => "Postgres is starting or stopping: try again",
        Some(_) => "see the log of Postgres",
        None => "does Postgres run there? --database-url says where",
    };
    anyhow::Error::new(fault).context(format!("cannot connect to the database {} ({remedy})", named(config)))
}

/// Where a database is, without its password.
fn named(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(path) => path.display().to_string(),
    });
    let hosts = hosts.collect::<Vec<_>>().join(",");
    let ports = config.get_ports().iter().map(u16::to_string).collect::<Vec<_>>().join(",");
    format!("{} at {hosts}:{ports}", config.get_dbname().or(config.get_user()).unwrap_or_default())
}
