//! Searches and filters (spec/nms 3.8 and 3.9).

use utoipa::ToSchema;

use super::document;
use super::nms::Reference;

/// What is looked for.
#[derive(ToSchema)]
pub enum CriterionType {
    /// `minDate=...&maxDate=...`.
    Date,
    /// An attribute with this value.
    Attribute,
    /// This text in any attribute.
    AllTextAttributes,
    /// A flag that is set (`true`) or not (`false`).
    Flag,
    /// This word in any text.
    WholeWord,
    /// What has vanished.
    VanishedObjects,
    /// What was created since a creationCursor.
    CreatedObjects,
    /// By name: `UPOneDotO` is everything, `path` what is below one.
    PresetSearch,
    /// A Conversation-ID.
    Conversation,
}

/// A criterion.
#[derive(ToSchema)]
pub struct SearchCriterion {
    /// Of which type.
    #[schema(rename = "type")]
    kind: CriterionType,
    /// Of an attribute, a flag or a preset.
    #[schema(nullable = false)]
    name: Option<String>,
    /// What it is to be.
    #[schema(nullable = false)]
    value: Option<String>,
}

/// How criteria are joined.
#[derive(ToSchema)]
pub enum Operator {
    /// All hold.
    And,
    /// One holds.
    Or,
    /// None holds.
    Not,
}

/// Criteria (3.9).
#[derive(ToSchema)]
pub struct SearchCriteria {
    /// The criteria.
    #[schema(min_items = 1, max_items = 100)]
    criterion: Vec<SearchCriterion>,
    /// How they are joined; And without it.
    #[schema(nullable = false)]
    operator: Option<Operator>,
}

/// The attribute that is sorted by.
#[derive(ToSchema)]
pub struct SortCriterion {
    /// Date or Attribute.
    #[schema(rename = "type")]
    kind: SortType,
    /// The attribute.
    #[schema(nullable = false)]
    name: Option<String>,
    /// Descending without it.
    #[schema(nullable = false)]
    order: Option<Order>,
}

/// What is sorted by.
#[derive(ToSchema)]
pub enum SortType {
    /// When it was stored.
    Date,
    /// An attribute.
    Attribute,
}

/// In which order.
#[derive(ToSchema)]
pub enum Order {
    /// The least first.
    Ascending,
    /// The most first.
    Descending,
}

/// Sort criteria, the first one first.
#[derive(ToSchema)]
pub struct SortCriteria {
    /// The criteria.
    criterion: Vec<SortCriterion>,
}

/// A search (3.8).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct SelectionCriteria {
    /// Results in one answer.
    #[schema(minimum = 1, nullable = false)]
    max_entries: Option<u32>,
    /// Where to go on.
    #[schema(nullable = false)]
    from_cursor: Option<String>,
    /// The folder to look in, by its URL or its path.
    #[schema(nullable = false)]
    search_scope: Option<Reference>,
    /// In that folder only, not below it.
    #[schema(nullable = false)]
    non_recursive_scope: Option<bool>,
    /// What is looked for; everything without it.
    #[schema(nullable = false)]
    search_criteria: Option<SearchCriteria>,
    /// In which order.
    #[schema(nullable = false)]
    sort_criteria: Option<SortCriteria>,
}

document! {
    /// A search.
    #[schema(example = json!({ "selectionCriteria": { "maxEntries": 10, "searchCriteria": {
        "criterion": [{ "type": "Flag", "name": "\\Seen", "value": "false" }] } } }))]
    SelectionCriteriaDocument, "selectionCriteria": SelectionCriteria
}
