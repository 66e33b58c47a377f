//! The tables of a scratch agent, for a caller who looks at them himself.

use tokio_postgres::Client;

use super::apply::{apply, lock_referenced};
use super::error::Error;
use super::scratch::{scratch_id, scratch_prefix};
use super::template_set::Templates;
use super::trial;
use super::worker_role::act_as_worker;
use crate::agent::Prefix;

/// Builds them, without the foreign key to `agents`, and returns their prefix. Needs an open transaction, which is to be
/// rolled back.
pub(crate) async fn build_scratch_tables(
    client: &Client,
    templates: &Templates,
) -> Result<Prefix, Error> {
    act_as_worker(client, None).await?;
    let scratch = scratch_prefix()?;
    let begun = trial::transaction(client).await?;
    for file in templates.files() {
        let script = file.render(&scratch, scratch_id(false));
        lock_referenced(client, &script, &scratch).await?;
        apply(client, &script).await?;
        trial::require_transaction(client, &begun, &file.name, &scratch).await?;
    }
    Ok(scratch)
}
