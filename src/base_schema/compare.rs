//! Whether the base schema of a database is what this program makes of it.

use tokio_postgres::{Client, Transaction};

use super::difference::{BaseDifference, differences};
use super::error::Error;
use super::facts::{expected, read};
use super::names::Names;
use crate::postgres::{self, query};
use crate::schema;

/// Where the base schema differs from what this program makes. Changes nothing.
pub async fn verify(client: &mut Client) -> Result<Vec<BaseDifference>, Error> {
    compare(&postgres::begin(client).await.map_err(query("begin"))?).await
}

/// The same in a transaction that is open. Reads catalogs only.
pub(super) async fn compare(tx: &Transaction<'_>) -> Result<Vec<BaseDifference>, Error> {
    let expected = expected()?;
    let names = Names::of(&expected);
    let (found, owner) = read(tx, &names).await?;
    Ok(differences(&schema::compare(&expected, &found), &names, &owner))
}
