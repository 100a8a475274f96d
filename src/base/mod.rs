//! What every other part stands on: identifiers, errors, retry delays.

pub mod backoff;
pub mod error;
pub mod ids;

pub use error::{Error, Result};
