//! Watched tables, grants, and what operators ask.

use serde_json::Value;
use utoipa::ToSchema;

/// A watched table.
#[derive(ToSchema)]
pub struct WatchedTable {
    /// Its name, with its schema unless that is public.
    name: String,
    /// The columns of its key.
    key: Vec<String>,
    /// Which box its rows are told in; null: the column that said so is gone.
    #[schema(rename = "box")]
    of_box: Option<String>,
    /// The columns that are told of; null: all.
    columns: Option<Vec<String>>,
    /// Some of insert, update and delete.
    operations: Vec<String>,
    /// The condition.
    when: Option<String>,
    /// Why its rows are not told of.
    fault: Option<String>,
    /// Where its rows are.
    rows: String,
}

/// The watched tables that the caller may read.
#[derive(ToSchema)]
pub struct WatchedTables {
    /// The tables.
    results: Vec<WatchedTable>,
}

/// A row: its columns.
#[derive(ToSchema)]
#[schema(example = json!({ "id": 8, "title": "Metropolis" }))]
pub struct Row {}

/// Rows.
#[derive(ToSchema)]
pub struct Rows {
    /// The rows.
    results: Vec<Row>,
    /// Where the next ones are.
    next: Option<String>,
}

/// A right to what is not one's own.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({ "grantee": "ann", "resource": "box/bob", "rights": ["read"] }))]
pub struct Grant {
    /// Its id.
    #[schema(read_only)]
    id: i64,
    /// The user, or `*`: everybody who has a token.
    #[schema(min_length = 1)]
    grantee: String,
    /// `user/USER`, `box/BOX`, `box/STORE/BOX`, `inbox/USER`, `room/ROOM` or `table/TABLE`.
    resource: String,
    /// What the user may do.
    #[schema(min_items = 1)]
    rights: Vec<RightName>,
    /// Who has granted it.
    #[schema(read_only)]
    granted_by: Option<String>,
    /// When.
    #[schema(read_only)]
    granted_at: String,
}

/// What a grant allows.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum RightName {
    /// To read.
    Read,
    /// To change.
    Write,
}

/// Grants.
#[derive(ToSchema)]
pub struct Grants {
    /// How many.
    count: i64,
    /// The grants.
    results: Vec<Grant>,
}

/// Whether a node can do its job; there are more members, for people.
#[derive(ToSchema)]
pub struct Readiness {
    /// Whether it can.
    ready: bool,
    /// Whether it is leaving.
    draining: bool,
    /// `ok`, or why it cannot be reached.
    database: String,
    /// How the log is followed.
    doorbell: String,
    /// Sockets and polls that are open.
    connections: Value,
}
