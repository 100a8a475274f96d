//! Black box tests against real Postgres and real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod bad_input;
mod cli;
mod client;
mod clients;
mod console;
mod delivery;
mod doctor;
mod drain;
mod edge;
mod embedded;
mod exactness;
mod examples;
mod explain;
mod hostile;
mod inbox;
mod metrics;
mod nc;
mod nms;
mod nodes;
mod openapi;
mod operator;
mod outbound;
mod sql;
mod support;
mod tables;
mod telemetry;
