//! Which files of a template set need schema public in their path.
//!
//! Whoever may create in schema public could put an operator there that fits the types of an expression better than the
//! built-in one, even where every name in the file is qualified. So a file gets schema public only if it does not run
//! without.

use tokio_postgres::Client;

use super::apply::{apply, lock_referenced};
use super::error::{Error, query};
use super::scratch;
use super::template::Template;
use super::template_set::Templates;
use super::trial;
use crate::agent::{AgentId, Prefix};
use crate::postgres;

/// Tries each file without schema public, in a transaction that is taken back. What does not run with it either is for
/// the trial to say.
pub(crate) async fn choose_search_paths(
    client: &mut Client,
    mut templates: Templates,
) -> Result<Templates, Error> {
    let Some(files) = templates.unsettled() else { return Ok(templates) };
    let scratch = scratch::scratch_prefix()?;
    let tx = postgres::begin(client).await.map_err(query("begin"))?;
    let begun = trial::transaction(tx.client()).await?;
    for file in files {
        if !runs(tx.client(), file, &scratch, &begun, false).await?
            && !runs(tx.client(), file, &scratch, &begun, true).await?
        {
            break;
        }
    }
    tx.rollback().await.map_err(query("take the templates back"))?;
    Ok(templates)
}

async fn runs(
    client: &Client,
    file: &mut Template,
    scratch: &Prefix,
    begun: &str,
    public_path: bool,
) -> Result<bool, Error> {
    let failed = || query("try a template");
    file.public_path = public_path;
    client.batch_execute("savepoint search_path").await.map_err(failed())?;
    let script = file.render(scratch, AgentId(1));
    lock_referenced(client, &script, scratch).await?;
    let ran = apply(client, &script).await.is_ok();
    let end = if ran { "" } else { "rollback to savepoint search_path; " };
    let ended = client.batch_execute(&format!("{end}release savepoint search_path")).await;
    trial::require_transaction(client, begun, &file.name, scratch).await?;
    ended.map_err(failed())?;
    Ok(ran)
}
