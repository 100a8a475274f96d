//! Delivery: what happens between an event and its arrival at the client. One open connection each.

pub mod positions;
pub mod websocket;
