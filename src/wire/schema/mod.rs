//! What the data types look like, for the OpenAPI document only: nothing is read or written by these structs. Each says what
//! its reader in [`wire`](super) takes and what its writer gives; what only answers have is read-only.

#![expect(dead_code, reason = "they are looked at, not used")]

pub mod common;
pub mod inbox;
pub mod nc;
pub mod nms;
pub mod operator;
pub mod search;
pub mod tables;

/// A document: one member, named after what it holds.
macro_rules! document {
    ($(#[$more:meta])* $name:ident, $member:literal: $of:ty) => {
        #[derive(utoipa::ToSchema)]
        $(#[$more])*
        pub struct $name {
            /// What it holds.
            #[schema(rename = $member)]
            content: $of,
        }
    };
}

use document;
