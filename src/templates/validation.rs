//! Whether a template set makes only what can be looked after: verified, repaired and dropped.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::apply::{apply, apply_or_take_back, lock_referenced};
use super::error::{Error, query};
use super::script::Script;
use super::template::FOREIGN_KEY;
use super::template_set::Templates;
use super::trial::{self, Settings, Sought};
use super::{exposure, scratch, stray, undeletable};
use crate::agent::{AgentId, Prefix, Reference};
use crate::postgres;
use crate::sql_text::IndexStatement;

/// The savepoint before all files.
const TRIAL: &str = "trial";

/// Runs every file for a scratch prefix, looks at all that came of it, and takes it back.
///
/// With the foreign key, `agents` is locked against writers for a few milliseconds; where somebody
/// else has it locked, the key is left untried.
pub(crate) async fn run(
    client: &mut Client,
    templates: &Templates,
    reference: Reference,
) -> Result<(), Error> {
    let tried = attempt(client, templates, reference).await;
    match tried {
        Err(error)
            if reference == Reference::ForeignKey
                && error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) =>
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
    let scratch = scratch::scratch_prefix()?;
    let tx = postgres::begin(client).await.map_err(query("begin"))?;
    let checked = check(tx.client(), &scratch, templates, reference).await;
    tx.rollback().await.map_err(query("take the trial back"))?;
    if checked.is_err() {
        trial::sweep(client, &scratch).await?;
    }
    checked
}

async fn check(
    client: &Client,
    scratch: &Prefix,
    templates: &Templates,
    reference: Reference,
) -> Result<(), Error> {
    let id = AgentId(1);
    let mut script = Script::default();
    client
        .batch_execute(&format!("savepoint {TRIAL}"))
        .await
        .map_err(query("try the templates"))?;
    let begun = trial::transaction(client).await?;
    for file in templates.files() {
        let own = file.render(scratch, id);
        lock_referenced(client, &own, scratch).await?;
        let settings = Settings::read(client).await?;
        run_file(client, &own, &file.indexes(scratch, id)).await?;
        trial::require_transaction(client, &begun, &file.name, scratch).await?;
        require_settings(client, scratch, [&script, &own], &settings).await?;
        script.append(own);
    }
    require_own(client, scratch, &script, false).await?;
    require_deletable(client, scratch, &script).await?;
    let key = templates.key(scratch, id, reference);
    if !key.is_empty() {
        // What cannot be published is told with the settings.
        let published = templates.published(scratch);
        if apply_or_take_back(client, &published).await?.is_ok() {
            script.append(published);
        }
        let key = trial::add_keys(client, key, scratch, id).await?;
        trial::require_transaction(client, &begun, FOREIGN_KEY, scratch).await?;
        script.append(key);
        require_own(client, scratch, &script, true).await?;
        require_deletable(client, scratch, &script).await?;
    }
    exposure::check(client, scratch, templates, &script, TRIAL).await.map(drop)
}

/// Refuses concurrent builds that only an agent without rows could get through.
async fn run_file(
    client: &Client,
    script: &Script,
    indexes: &[(String, IndexStatement)],
) -> Result<(), Error> {
    let (created, dropped): (Vec<_>, Vec<_>) = indexes.iter().partition(|(_, index)| index.creates);
    require_not_partitioned(client, &dropped).await?;
    apply(client, script).await?;
    require_not_partitioned(client, &created).await
}

async fn require_not_partitioned(
    client: &Client,
    indexes: &[&(String, IndexStatement)],
) -> Result<(), Error> {
    if indexes.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = indexes.iter().map(|(_, index)| index.name.as_str()).collect();
    let sql = include_str!("../../sql/templates/partitioned_indexes.sql");
    let rows = client.query_typed(sql, &[(&names, Type::TEXT_ARRAY)]).await;
    let rows = rows.map_err(query("look for indexes of partitioned tables"))?;
    let found: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    match indexes.iter().find(|(_, index)| found.contains(&index.name)) {
        Some((at, _)) => {
            let reason = "the server builds and drops no index of a partitioned table concurrently: name a partition, \
                          one statement each, or put the statement without CONCURRENTLY into a file of its own";
            Err(Error::Stray { at: at.clone(), reason: reason.to_owned() })
        }
        None => Ok(()),
    }
}

/// Refuses a setting that outlives its file. What the text shows is put back behind each file; what a block or a
/// function does is found here.
async fn require_settings(
    client: &Client,
    scratch: &Prefix,
    scripts: [&Script; 2],
    before: &Settings,
) -> Result<(), Error> {
    let now = Settings::read(client).await?;
    let Some(name) = now.changed(before) else { return Ok(()) };
    let sought = Sought::Setting(before, name);
    let at = trial::first(client, scratch, scripts, TRIAL, &sought).await?;
    let reason = format!(
        "the statement changes the setting {name}, for other files, too: use a statement `set local {name} = …`, which \
         ends with the file, or put the setting back"
    );
    Err(Error::Stray { at, reason })
}

/// Refuses a table by which an agent could not be deleted any more.
async fn require_deletable(
    client: &Client,
    scratch: &Prefix,
    script: &Script,
) -> Result<(), Error> {
    let Some(found) = undeletable::find(client, scratch).await? else { return Ok(()) };
    let sought = Sought::Undeletable(&found.name);
    let at = trial::first(client, scratch, [&Script::default(), script], TRIAL, &sought).await?;
    let reason = found.reason().replace(scratch.as_str(), "{prefix}"); // as the file has it
    Err(Error::Stray { at, reason })
}

/// Refuses what no agent can have. Before the last file, that is also a foreign key to `agents`.
async fn require_own(
    client: &Client,
    scratch: &Prefix,
    script: &Script,
    keyed: bool,
) -> Result<(), Error> {
    let sql = script.to_string();
    let strays = stray::read(client, scratch, keyed).await?;
    // A name of just that length, and given in full, is no problem.
    let found = strays.iter().find(|stray| !stray.is_cut_off() || !sql.contains(&stray.name));
    let Some(stray) = found else { return Ok(()) };
    let sought = Sought::Stray(stray, keyed);
    let at = trial::first(client, scratch, [&Script::default(), script], TRIAL, &sought).await?;
    let reason = stray.reason().replace(scratch.as_str(), "{prefix}"); // as the file has it
    Err(Error::Stray { at, reason })
}
