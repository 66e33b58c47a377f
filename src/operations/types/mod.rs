//! One set of TypeScript types for the tables of all agents, and for the functions of the API.

mod catalog;
mod typescript;

use catalog::Catalog;

use super::error::Error;
use crate::base_schema;
use crate::postgres::{self, query};
use crate::service::Instance;
use crate::templates::{ExpectedSchema, build_scratch_tables};

/// A file in TypeScript. The same templates make the same file.
///
/// The server says what the templates make: they run for a scratch agent, and are rolled back.
pub(crate) async fn write(instance: &Instance) -> Result<String, Error> {
    let mut client = instance.current().await?;
    // What a worker would refuse is refused here.
    let expected = ExpectedSchema::prepare(&mut client, instance.templates()?).await?;
    let templates = expected.templates();
    let tx = postgres::begin(&mut client).await.map_err(query("begin"))?;
    let scratch = build_scratch_tables(tx.client(), templates).await?;
    let catalog = Catalog::read(tx.client(), &scratch, &base_schema::api_functions()?).await?;
    tx.rollback().await.map_err(query("take the scratch agent back"))?;
    Ok(typescript::write(&catalog, templates.version()))
}
