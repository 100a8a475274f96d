//! From SQLSTATE to the domain's errors, in one place.

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
