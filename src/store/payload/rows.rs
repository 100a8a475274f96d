//! The SQL of payloads. No connection is held while a client sends or reads.

use bytes::Bytes;
use serde_json::Value;

use super::{Payload, Stored};
use crate::base::ids::BoxName;
use crate::base::{Error, Result};
use crate::postgres::Database;

/// Payloads looked at in one statement.
const SWEEP_PAGE: i32 = 1000;

/// Begins an upload: the id its bytes are under.
pub async fn begin(database: &Database) -> Result<i64> {
    let client = database.get().await?;
    let statement = client.prepare_cached("insert into tocsin.payloads default values returning id").await?;
    Ok(client.query_one(&statement, &[]).await?.get(0))
}

/// More bytes of an upload, which has `at` bytes.
pub async fn append(database: &Database, upload: i64, at: i64, bytes: &[u8]) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../../sql/queries/payload_append.sql")).await?;
    match client.execute(&statement, &[&upload, &at, &bytes]).await? {
        0 => Err(Error::Busy("an upload took too long".to_owned())),
        _ => Ok(()),
    }
}

/// Removes uploads that came to nothing.
pub async fn discard(database: &Database, uploads: &[i64]) -> Result<()> {
    let client = database.get().await?;
    let statement = client.prepare_cached("delete from tocsin.payloads where id = any ($1) and hash is null").await?;
    client.execute(&statement, &[&uploads]).await?;
    Ok(())
}

/// The payload of a live object.
pub async fn of_object(database: &Database, of: &BoxName, object: i64) -> Result<Stored> {
    const NO_PAYLOAD: Error = Error::NotFound { what: "payload" };
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../../sql/queries/payload_of_object.sql")).await?;
    let row = client.query_opt(&statement, &[&object, &of.store(), &of.box_id()]).await?.ok_or(NO_PAYLOAD)?;
    Ok(Stored { payload: of_column(row.get(0)).ok_or(NO_PAYLOAD)?, id: row.get(1) })
}

/// What is in the column `payload` of an object. What somebody else wrote there, and we cannot read, is none.
pub fn of_column(value: Option<Value>) -> Option<Payload> {
    serde_json::from_value(value?).ok()
}

/// The piece that a byte of a payload is in: where it begins, and its bytes.
pub async fn chunk(database: &Database, payload: i64, at: i64) -> Result<(i64, Bytes)> {
    let client = database.get().await?;
    let statement = client.prepare_cached(include_str!("../../../sql/queries/payload_chunk.sql")).await?;
    let gone = || Error::Busy("a payload that was being read is gone".to_owned());
    let row = client.query_opt(&statement, &[&payload, &at]).await?.ok_or_else(gone)?;
    Ok((row.get(0), Bytes::from(row.get::<_, Vec<u8>>(1))))
}

/// Removes what nobody has among the payloads after this one; answers where to go on.
pub async fn sweep(database: &Database, after: i64) -> Result<Option<i64>> {
    let row = database.get().await?.query_one("select tocsin.sweep_payloads($1, $2)", &[&after, &SWEEP_PAGE]).await?;
    Ok(row.get(0))
}
