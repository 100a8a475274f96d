//! What every other part stands on: identifiers, formats, errors, retry delays.

pub mod backoff;
pub mod error;
pub mod format;
pub mod ids;

pub use error::{Error, Result};
pub use format::Format;
