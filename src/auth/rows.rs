//! The SQL of grants.

use tokio_postgres::Row;

use super::grants::{Grant, Kind, Resource, Right};
use crate::base::{Error, Result};
use crate::postgres::Database;

/// Whether a grant lets a user do this.
pub async fn is_granted(database: &Database, user: &str, resource: &Resource, right: Right) -> Result<bool> {
    let client = database.get().await?;
    let statement = client.prepare_cached("select tocsin.is_granted($1, $2, $3, $4)").await?;
    Ok(client.query_one(&statement, &[&user, &resource.kind.name(), &resource.name, &right.name()]).await?.get(0))
}

/// The names of the resources of a kind that grants let a user read; [`super::grants::EVERY`] among them is every one.
pub async fn readable(database: &Database, user: &str, kind: Kind) -> Result<Vec<String>> {
    let names = "select name from tocsin.grants where kind = $1 and grantee in ($2, '*') and 'read' = any (rights)";
    let rows = database.get().await?.query(names, &[&kind.name(), &user]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Grants rights beside those that the grantee has.
pub async fn grant(
    database: &Database,
    grantee: &str,
    resource: &Resource,
    rights: &[Right],
    by: Option<&str>,
) -> Result<Grant> {
    let rights: Vec<&str> = rights.iter().map(|right| right.name()).collect();
    let client = database.get().await?;
    let row = client
        .query_one(
            "select * from tocsin.grant_rights($1, $2, $3, $4, $5)",
            &[&grantee, &resource.kind.name(), &resource.name, &rights, &by],
        )
        .await?;
    read(&row)
}

/// Revokes a grant; subscriptions that rested on it end in the same moment of their boxes. False when there is none.
pub async fn revoke(database: &Database, id: i64) -> Result<bool> {
    Ok(database.get().await?.query_one("select tocsin.revoke_grant($1)", &[&id]).await?.get(0))
}

/// A grant.
pub async fn get(database: &Database, id: i64) -> Result<Option<Grant>> {
    let row = database.get().await?.query_opt("select * from tocsin.grants where id = $1", &[&id]).await?;
    row.as_ref().map(read).transpose()
}

/// All grants; or those of what is a user's own, and those to that user.
pub async fn list(database: &Database, of: Option<&str>) -> Result<Vec<Grant>> {
    let list = include_str!("../../sql/queries/grants_list.sql");
    database.get().await?.query(list, &[&of]).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Grant> {
    let resource = format!("{}/{}", row.get::<_, &str>("kind"), row.get::<_, &str>("name"));
    let rights: Vec<&str> = row.get("rights");
    Ok(Grant {
        id: row.get("id"),
        grantee: row.get("grantee"),
        resource: resource.parse().map_err(|fault: String| Error::internal(anyhow::Error::msg(fault)))?,
        rights: rights.into_iter().filter_map(Right::parse).collect(),
        granted_by: row.get("granted_by"),
        granted_at: row.get("granted_at"),
    })
}
