//! What became of an event on its way to a subscription: an extension.

use serde_json::{Value, json};

use crate::subscription::explain::Explanation;

/// Writes an explanation.
pub fn explanation(of: &Explanation) -> Value {
    let facts: Value = of.facts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))).collect();
    json!({ "verdict": of.verdict.name(), "why": of.why, "index": of.index, "facts": facts })
}
