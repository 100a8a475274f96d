//! Watched tables: any table of the database as a source of events (sql/functions/watch.sql), and their rows.

pub mod rows;

/// Rows of a page when nobody says how many.
pub const ROWS_DEFAULT: i32 = 100;
/// Rows of a page at most: all of them are in memory at once.
pub const ROWS_MAX: i32 = 1000;

/// A table that is to be watched, as `tocsin.watch` takes it.
#[derive(Debug)]
pub struct NewWatch {
    /// Its name, as SQL has it.
    pub table: String,
    /// The columns of its key, separated by commas.
    pub key: String,
    /// `boxId`, `store/boxId` or `column:NAME`.
    pub of_box: String,
    /// The columns that are told of; `None`: all, be they added later.
    pub columns: Option<Vec<String>>,
    /// Some of `insert`, `update` and `delete`; `None`: all.
    pub operations: Option<Vec<String>>,
    /// A condition over `new` and `old`.
    pub when: Option<String>,
}

/// A table that is watched.
#[derive(Debug)]
pub struct Watched {
    /// Its name: `table` in the schema public, `schema.table` elsewhere.
    pub name: String,
    /// The columns of its key.
    pub key: Vec<String>,
    /// `boxId`, `store/boxId` or `column:NAME`; `None` when that column is gone.
    pub of_box: Option<String>,
    /// The columns that are told of; `None`: all.
    pub columns: Option<Vec<String>>,
    /// Some of `insert`, `update` and `delete`.
    pub operations: Vec<String>,
    /// The condition.
    pub when: Option<String>,
    /// Why its rows are not told of; `None` when they are.
    pub fault: Option<String>,
}

/// A row of a watched table.
#[derive(Debug)]
pub struct TableRow {
    /// Its key, as URLs have it: the values of several columns separated by commas.
    pub key: String,
    /// A JSON object of its columns, as the database wrote it: with all digits of its numbers.
    pub content: String,
}
