//! Folders: their SQL, and the places in a listing of what is in one.

use chrono::{DateTime, Utc};
use deadpool_postgres::{GenericClient, Transaction};
use serde_json::{Map, Value};
use tokio_postgres::types::Json;
use tokio_postgres::{IsolationLevel, Row};

use super::written;
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::postgres::Database;

const NO_FOLDER: Error = Error::NotFound { what: "folder" };

/// A folder as it is now. The root folder of a box, whose id is 0, is always there: without a name, never changed.
#[derive(Debug)]
pub struct Folder {
    /// Its id, unique over all boxes; 0 is the root folder.
    pub id: i64,
    /// The box it is in.
    pub of: BoxName,
    /// The id of the folder it is in.
    pub parent: i64,
    /// Its name, the last part of its path.
    pub name: String,
    /// Its path, empty for the root folder.
    pub path: String,
    /// What its creator gave it: name to value or array of values.
    pub attributes: Map<String, Value>,
    /// Seq of its last change: lastModSeq.
    pub seq: i64,
    /// When it was made; `None` for the root folder.
    pub created_at: Option<DateTime<Utc>>,
}

impl Folder {
    /// The root folder of a box.
    pub(super) fn root(of: &BoxName) -> Self {
        Folder {
            id: 0,
            of: of.clone(),
            parent: 0,
            name: String::new(),
            path: String::new(),
            attributes: Map::new(),
            seq: 1,
            created_at: None,
        }
    }

    pub(super) fn of_row(of: &BoxName, id: i64, row: &Row) -> Self {
        let Json(attributes) = row.get("attributes");
        Folder {
            id,
            of: of.clone(),
            parent: row.get("parent_id"),
            name: row.get("name"),
            path: row.get("path"),
            attributes,
            seq: row.get("seq"),
            created_at: Some(row.get("created_at")),
        }
    }
}

/// Where a new folder is put.
#[derive(Debug)]
pub enum Parent {
    /// In the folder of this id.
    Id(i64),
    /// In the folder at this path.
    Path(String),
}

/// Makes a folder; without a name it gets one that no sibling has. [`Error::Invalid`] names `parentFolder` or
/// `parentFolderPath` when there is no such folder; [`Error::Policy`] when a sibling has the name.
pub async fn create(
    database: &Database,
    of: &BoxName,
    parent: &Parent,
    name: Option<&str>,
    attributes: &Map<String, Value>,
) -> Result<Folder> {
    let stream = of.stream().as_str();
    let mut client = database.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("select tocsin.lock_box($1)", &[&stream]).await?;
    let parent: i64 = match parent {
        Parent::Id(id) => select(&transaction, of, *id).await?.ok_or_else(|| Error::invalid("parentFolder"))?.id,
        Parent::Path(path) => {
            let found = transaction.query_one("select tocsin.folder_at($1, $2, false)", &[&stream, path]).await?;
            found.get::<_, Option<i64>>(0).ok_or_else(|| Error::invalid("parentFolderPath"))?
        }
    };
    let made = transaction
        .query_one("select tocsin.create_folder($1, $2, $3, $4)", &[&stream, &parent, &name, &Json(attributes)])
        .await?;
    let folder = select(&transaction, of, made.get(0)).await?.ok_or(NO_FOLDER)?;
    transaction.commit().await?;
    written(of, folder.id);
    Ok(folder)
}

/// A folder of a box. [`Error::NotFound`] when there is none.
pub async fn get(database: &Database, of: &BoxName, id: i64) -> Result<Folder> {
    select(&database.get().await?, of, id).await?.ok_or(NO_FOLDER)
}

/// Gives a folder another name. [`Error::Policy`] when a sibling has it; the same name again makes no event.
pub async fn rename(database: &Database, of: &BoxName, id: i64, name: &str) -> Result<()> {
    if id == 0 {
        return Err(Error::RenameForbidden);
    }
    let client = database.get().await?;
    let row = client.query_one("select tocsin.rename_folder($1, $2, $3)", &[&of.stream().as_str(), &id, &name]).await?;
    if row.get::<_, Option<bool>>(0).ok_or(NO_FOLDER)? {
        written(of, id);
    }
    Ok(())
}

/// Deletes a folder with everything in it.
pub async fn delete(database: &Database, of: &BoxName, id: i64) -> Result<()> {
    if id == 0 {
        return Err(Error::Policy { rule: "the root folder cannot be deleted".to_owned() });
    }
    let client = database.get().await?;
    let row = client.query_one("select tocsin.end_folder($1, $2, 'deleted')", &[&of.stream().as_str(), &id]).await?;
    if !row.get::<_, bool>(0) {
        return Err(NO_FOLDER);
    }
    written(of, id);
    Ok(())
}

/// The folders at paths, in the order of the paths: `None` where there is none.
pub async fn at(database: &Database, of: &BoxName, paths: &[String]) -> Result<Vec<Option<i64>>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/paths_of_folders.sql")).await?;
    let rows = client.query(&statement, &[&of.stream().as_str(), &paths]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Whether objects are in the folders at paths, one for one.
pub async fn hold(database: &Database, of: &BoxName, paths: &[String], objects: &[i64]) -> Result<Vec<bool>> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../sql/queries/paths_of_objects.sql")).await?;
    let rows = client.query(&statement, &[&of.stream().as_str(), &paths, &objects]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What is asked about a folder beside itself.
#[derive(Debug, Default)]
pub struct Wanted {
    /// The counts of what is in it.
    pub counts: bool,
    /// The counts of that and of what is below it.
    pub tree_counts: bool,
    /// What is in it.
    pub page: Option<Page>,
}

/// Which part of what is in a folder is wanted.
#[derive(Debug)]
pub struct Page {
    /// Of which kinds.
    pub listed: Listed,
    /// What comes after this place; `None`: from the beginning.
    pub after: Option<Place>,
    /// Entries at most, and at least 1.
    pub entries_max: i64,
}

/// What a list of a folder shows: subfolders come before objects, and of each kind what was made first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// Folders.
    Subfolders,
    /// Objects.
    Objects,
    /// Both.
    All,
}

/// A place in the list of a folder, after which the next page begins: clients have it as the cursor. Seqs of creation
/// do not change, so that nothing is left out or repeated, whatever happens in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The folder listed.
    pub folder: i64,
    /// Whether the subfolders are done.
    pub in_objects: bool,
    /// The seq of the creation of the last entry before it.
    pub created_seq: i64,
}

impl Place {
    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let place = Place {
            folder: parts.next()?.parse().ok()?,
            in_objects: parts.next()? == "o",
            created_seq: parts.next()?.parse().ok()?,
        };
        (place.to_string() == text).then_some(place)
    }

    /// Whether a list of this folder that shows this can have such a place.
    pub fn fits(&self, folder: i64, listed: Listed) -> bool {
        let kind = if self.in_objects { Listed::Objects } else { Listed::Subfolders };
        self.folder == folder && (listed == kind || listed == Listed::All)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.folder, if self.in_objects { "o" } else { "f" }, self.created_seq)
    }
}

/// What is in a folder, as far as it was asked for.
#[derive(Debug, Default)]
pub struct Contents {
    /// Of what is in it.
    pub counts: Option<Counts>,
    /// Of that and of what is below it.
    pub tree_counts: Option<Counts>,
    /// What is in it, or a part of that.
    pub list: Option<List>,
}

/// How much there is.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Objects.
    pub objects: i64,
    /// Objects without the flag `\Seen`.
    pub unread: i64,
    /// Bytes of payloads and texts.
    pub bytes: i64,
}

/// Entries of a folder.
#[derive(Debug, Default)]
pub struct List {
    /// Ids and names of subfolders; `None` when only objects are listed.
    pub subfolders: Option<Vec<(i64, String)>>,
    /// Ids of objects; `None` when only subfolders are listed.
    pub objects: Option<Vec<i64>>,
    /// Where the next page begins, when there is more.
    pub next: Option<Place>,
}

/// A folder and what is in it, all as of one moment. [`Error::NotFound`] when there is none.
pub async fn read(database: &Database, of: &BoxName, id: i64, wanted: &Wanted) -> Result<(Folder, Contents)> {
    let mut client = database.get().await?;
    let transaction =
        client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true).start().await?;
    let folder = select(&transaction, of, id).await?.ok_or(NO_FOLDER)?;
    let mut contents = Contents::default();
    if wanted.counts {
        contents.counts = Some(count(&transaction, &folder, false).await?);
    }
    if wanted.tree_counts {
        contents.tree_counts = Some(count(&transaction, &folder, true).await?);
    }
    if let Some(page) = &wanted.page {
        contents.list = Some(list(&transaction, &folder, page).await?);
    }
    transaction.commit().await?;
    Ok((folder, contents))
}

async fn select(client: &impl GenericClient, of: &BoxName, id: i64) -> Result<Option<Folder>> {
    if id == 0 {
        return Ok(Some(Folder::root(of)));
    }
    let statement = client.prepare_cached(include_str!("../../sql/queries/folder_get.sql")).await?;
    let row = client.query_opt(&statement, &[&of.store(), &of.box_id(), &id]).await?;
    Ok(row.map(|row| Folder::of_row(of, id, &row)))
}

async fn count(transaction: &Transaction<'_>, folder: &Folder, whole: bool) -> Result<Counts> {
    let row = transaction
        .query_one(
            "select objects, unread, bytes from tocsin.folder_counts($1, $2, $3)",
            &[&folder.of.stream().as_str(), &folder.id, &whole],
        )
        .await?;
    Ok(Counts { objects: row.get(0), unread: row.get(1), bytes: row.get(2) })
}

/// The entries of a folder, or a page of them.
pub(super) async fn list(transaction: &Transaction<'_>, folder: &Folder, page: &Page) -> Result<List> {
    let place = |in_objects, created_seq| Place { folder: folder.id, in_objects, created_seq };
    let after = page.after.unwrap_or(place(page.listed == Listed::Objects, 0));
    let (mut list, mut room, mut end) = (List::default(), page.entries_max, after);
    if page.listed != Listed::Objects {
        let mut entries = Vec::new();
        if !after.in_objects {
            for row in subfolders(transaction, folder, after.created_seq, room + 1).await? {
                if room == 0 {
                    list.next = Some(end);
                    break;
                }
                entries.push((row.get("id"), row.get("name")));
                end = place(false, row.get("created_seq"));
                room -= 1;
            }
        }
        list.subfolders = Some(entries);
    }
    if page.listed != Listed::Subfolders {
        let mut entries = Vec::new();
        if list.next.is_none() {
            let begin = if after.in_objects { after.created_seq } else { 0 };
            for row in objects(transaction, folder, begin, room + 1).await? {
                if room == 0 {
                    list.next = Some(end);
                    break;
                }
                entries.push(row.get("id"));
                end = place(true, row.get("created_seq"));
                room -= 1;
            }
        }
        list.objects = Some(entries);
    }
    Ok(list)
}

async fn subfolders(transaction: &Transaction<'_>, folder: &Folder, after: i64, most: i64) -> Result<Vec<Row>> {
    let statement = transaction.prepare_cached(include_str!("../../sql/queries/folder_subfolders.sql")).await?;
    Ok(transaction.query(&statement, &[&folder.of.store(), &folder.of.box_id(), &folder.id, &after, &most]).await?)
}

async fn objects(transaction: &Transaction<'_>, folder: &Folder, after: i64, most: i64) -> Result<Vec<Row>> {
    Ok(if folder.id == 0 {
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/root_objects.sql")).await?;
        transaction.query(&statement, &[&folder.of.store(), &folder.of.box_id(), &after, &most]).await?
    } else {
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/folder_objects.sql")).await?;
        transaction.query(&statement, &[&folder.id, &after, &most]).await?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written_and_nothing_else_is() {
        for place in [
            Place { folder: 0, in_objects: false, created_seq: 1 },
            Place { folder: 7, in_objects: true, created_seq: i64::MAX },
        ] {
            assert_eq!(Place::parse(&place.to_string()), Some(place));
        }
        for bad in ["", "1", "1-f", "1-x-2", "+1-f-2", "1-f-02", "1-f-2-3", "1-f-", "a-f-1", "1-o-9223372036854775808"]
        {
            assert_eq!(Place::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_place_belongs_to_a_folder_and_to_what_is_listed() {
        let place = Place { folder: 7, in_objects: true, created_seq: 3 };
        assert!(place.fits(7, Listed::All) && place.fits(7, Listed::Objects));
        assert!(!place.fits(7, Listed::Subfolders) && !place.fits(8, Listed::All));
    }
}
