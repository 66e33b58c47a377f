//! Whether a template set makes only what can be looked after: verified, repaired and dropped.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use super::provision::{apply, reach, tie};
use super::script::Script;
use super::{AgentId, Prefix, Reference, Templates, exposure, rehearsal};
use crate::db;
use crate::retry_policy::RetryPolicy;

/// Runs every file for a scratch prefix, looks at all that came of it, and takes it back.
///
/// With the foreign key, `agents` is locked against writers for a few milliseconds; where somebody
/// else has it locked, the key is left untried.
pub(super) async fn run(
    client: &mut Client,
    templates: &Templates,
    reference: Reference,
) -> Result<(), Error> {
    let tried = attempt(client, templates, reference).await;
    match tried {
        Err(error)
            if reference == Reference::ForeignKey
                && matches!(error.retry_policy(), RetryPolicy::RetryWithoutCounting(_)) =>
        {
            tracing::warn!("public.agents is locked: the foreign key is not tried");
            attempt(client, templates, Reference::Check).await
        }
        tried => tried,
    }
}

async fn attempt(
    client: &mut Client,
    templates: &Templates,
    reference: Reference,
) -> Result<(), Error> {
    let (scratch, id) = (rehearsal::scratch_prefix()?, AgentId(1));
    let (files, key) = (templates.numbered(&scratch, id), templates.key(&scratch, id, reference));
    let tx = db::begin(client).await.map_err(query("begin"))?;
    let checked = check(tx.client(), &scratch, templates, files, key).await;
    tx.rollback().await.map_err(query("take the trial back"))?;
    checked
}

async fn check(
    client: &Client,
    scratch: &Prefix,
    templates: &Templates,
    files: Script,
    key: Script,
) -> Result<(), Error> {
    client.batch_execute("savepoint trial").await.map_err(query("try the templates"))?;
    reach(client, &files, scratch).await?;
    apply(client, &files).await?;
    tie(client, &key, scratch).await?;
    let mut script = files;
    script.append(key);
    let Some(reason) = stray(client, scratch, &script).await? else {
        exposure::check(client, scratch, templates, &script, "trial").await?;
        return Ok(());
    };
    // Once more, one statement after the other, to find the line.
    let back = "rollback to savepoint trial";
    client.batch_execute(back).await.map_err(query("try the templates again"))?;
    reach(client, &script, scratch).await?;
    for (at, statement) in script.singles() {
        apply(client, &statement).await?;
        if let Some(reason) = stray(client, scratch, &script).await? {
            return Err(Error::Stray { at, reason });
        }
    }
    Err(Error::Stray { at: "the set".to_owned(), reason })
}

/// What there is that must not be, and why not.
async fn stray(
    client: &Client,
    scratch: &Prefix,
    script: &Script,
) -> Result<Option<String>, Error> {
    let sql = include_str!("../../sql/queries/strays.sql");
    let rows = client.query_typed(sql, &[(&format!("{scratch}_"), Type::TEXT)]).await;
    let rows = rows.map_err(query("look at what the templates made"))?;
    let sql = script.to_string();
    Ok(rows.iter().find_map(|row| judge(row, &sql)).map(|reason| {
        reason.replace(scratch.as_str(), "{prefix}") // as the file has it
    }))
}

fn judge(row: &Row, sql: &str) -> Option<String> {
    let object: &str = row.get("object");
    Some(match row.get("problem") {
        "kind" => format!(
            "{object} cannot be an agent's, which has tables with what hangs on them, and enum \
             types: one for all agents belongs into a migration"
        ),
        "elsewhere" => format!("{object} hangs on a table that is not the agent's"),
        "name" => {
            format!("{object} is not in schema public with a name that begins with {{prefix}}_")
        }
        // Of just that length, and given in full.
        _ if sql.contains(row.get::<_, &str>("name")) => return None,
        _ => format!("the server has cut the name of {object} off at 63 bytes: shorten it"),
    })
}
