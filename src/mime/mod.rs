//! What is in a payload (RFC 2045, RFC 2046), found while its bytes pass in pieces of any size. Pure.

pub mod boundary;
pub mod encoding;
mod head;
mod outline;

pub use head::Head;
pub use outline::{Outline, Part, Refused};
