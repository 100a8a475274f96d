//! tocsin: an event-sourced notification server on Postgres LISTEN/NOTIFY.
//!
//! The road of a message: a write lands in the [`log`]; the [`log::tailer`] reads it and hands it to the
//! [`channel::hub`], which knows the channels connected here; each channel's [`delivery`] applies its subscriptions'
//! [`filter`] and [`channel::cursor`], and sends. docs/ARCHITECTURE.md is the map.

pub mod base;
pub mod postgres;

pub mod auth;

pub mod log;

pub mod filter;

pub mod mime;

pub mod subscription;

pub mod channel;

pub mod store;

pub mod inbox;

pub mod tables;

pub mod operator;

pub mod wire;

pub mod delivery;

pub mod outbound;

pub mod maintenance;

pub mod http;

pub mod client;

pub mod app;
pub mod cli;
pub mod config;
pub mod lifecycle;
pub mod telemetry;
