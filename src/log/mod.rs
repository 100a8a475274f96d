//! The log: what an event is, how it is read, and how a node follows it.

pub mod doorbell;
pub mod event;
pub mod interest;
pub mod pages;
pub mod retention;
pub mod rows;
pub mod tailer;

pub use event::{Event, Kind};
