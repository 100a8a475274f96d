//! tocsin: an event-sourced notification server on Postgres LISTEN/NOTIFY.

pub mod postgres;
