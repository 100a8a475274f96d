//! What goes over the wire: the data types of the specifications, read liberally and written strictly. No I/O.

pub mod callback;
pub mod inbox;
pub mod json;
pub mod nc;
pub mod nms;
pub mod operator;
pub mod schema;
pub mod tables;
pub mod urls;
pub mod xml;
