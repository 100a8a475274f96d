//! Black box tests against real Postgres and real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod delivery;
mod embedded;
mod exactness;
mod sql;
mod support;
