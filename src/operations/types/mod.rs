//! One set of TypeScript types for the tables of all agents, and for the functions of the API.

mod catalog;
mod typescript;

use catalog::Catalog;

use super::error::Error;
use crate::base_schema;
use crate::postgres::{self, query};
use crate::service::Instance;
use crate::templates;

/// A file in TypeScript. The same templates make the same file.
///
/// The server says what the templates make: they run for a scratch agent, and are rolled back.
pub(crate) async fn write(instance: &Instance) -> Result<String, Error> {
    let templates = instance.templates()?;
    let mut client = instance.current().await?;
    let templates = templates::choose_search_paths(&mut client, templates).await?;
    let tx = postgres::begin(&mut client).await.map_err(query("begin"))?;
    let scratch = templates::build_scratch_tables(tx.client(), &templates).await?;
    let catalog = Catalog::read(tx.client(), &scratch, &base_schema::api_functions()?).await?;
    tx.rollback().await.map_err(query("take the scratch agent back"))?;
    Ok(typescript::write(&catalog, templates.version()))
}
