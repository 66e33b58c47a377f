//! Which files of a template set need schema public in their path.
//!
//! Whoever may create in schema public could put an operator there that fits the types of an expression better than the
//! built-in one, even where every name in the file is qualified. So a file gets schema public only if it does not run
//! without.

use tokio_postgres::Client;

use super::error::{Error, query};
use super::provision::{apply, reach};
use super::template::Template;
use super::{AgentId, Prefix, Templates, rehearsal};
use crate::db;

/// Tries each file without schema public, in a transaction that is taken back. What does not run with it either is for
/// the trial to say.
pub(super) async fn settle(
    client: &mut Client,
    mut templates: Templates,
) -> Result<Templates, Error> {
    let Some(files) = templates.unsettled() else { return Ok(templates) };
    let scratch = rehearsal::scratch_prefix()?;
    let tx = db::begin(client).await.map_err(query("begin"))?;
    for file in files {
        if !runs(tx.client(), file, &scratch, false).await?
            && !runs(tx.client(), file, &scratch, true).await?
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
    public_path: bool,
) -> Result<bool, Error> {
    let failed = || query("try a template");
    file.public_path = public_path;
    client.batch_execute("savepoint search_path").await.map_err(failed())?;
    let script = file.render(scratch, AgentId(1));
    reach(client, &script, scratch).await?;
    let ran = apply(client, &script).await.is_ok();
    let end = if ran { "" } else { "rollback to savepoint search_path; " };
    client.batch_execute(&format!("{end}release savepoint search_path")).await.map_err(failed())?;
    Ok(ran)
}
