//! What every other part stands on: identifiers, formats, errors, retry delays, texts without case,
//! what is measured, what each may have at once and in a second, room.

pub mod backoff;
pub mod crowd;
pub mod error;
pub mod fold;
pub mod format;
pub mod histogram;
pub mod ids;
pub mod metrics;
pub mod rate;
pub mod room;

pub use error::{Error, Result};
pub use fold::fold;
pub use format::Format;
