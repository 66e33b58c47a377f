//! Whether a rollback file leads back: up, down and up again give the same schema.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use super::error::Error;
use super::files::SqlFile;
use super::schema_state::SchemaState;
use super::script::Script;
use super::session::Session;
use crate::postgres::{query, session_settings};
use crate::schema::{Fact, Key};

/// A rollback file that was tried.
#[derive(Debug)]
pub(super) struct Rollback {
    pub(super) up: usize,
    pub(super) down: usize,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    LeadsBack,
    /// The server's words; whether it was the way up, the second time.
    Fails {
        message: String,
        up: bool,
    },
    /// What then differs from what was before.
    Leaves {
        facts: Vec<Fact>,
    },
    /// It needs what no transaction allows.
    NotTried(String),
}

/// In a transaction that is taken back. The facts are those before and after the way up.
pub(super) async fn check(
    session: &Session,
    [up, down]: [&SqlFile; 2],
    [before, after]: [&BTreeMap<Key, Fact>; 2],
) -> Result<Outcome, Error> {
    session.begin_anew().await?;
    let begun = session.client.batch_execute("begin").await;
    begun.map_err(query("try a rollback file"))?;
    let outcome = tried(&session.client, [up, down], [before, after]).await;
    session.begin_anew().await?;
    outcome
}

async fn tried(
    client: &Client,
    [up, down]: [&SqlFile; 2],
    [before, after]: [&BTreeMap<Key, Fact>; 2],
) -> Result<Outcome, Error> {
    for (file, expected, is_up) in [(down, before, false), (up, after, true)] {
        let sql = Script::of(&file.text).within_transaction();
        if let Err(error) = client.batch_execute(&sql).await {
            let Some(said) = error.as_db_error() else {
                return Err(query("try a rollback file")(error).into());
            };
            let message = said.message().to_owned();
            return Ok(if said.code().code() == "25001" {
                Outcome::NotTried(message)
            } else {
                Outcome::Fails { message, up: is_up }
            });
        }
        let facts = different(&read(client).await?, expected);
        if !facts.is_empty() {
            return Ok(Outcome::Leaves { facts });
        }
    }
    Ok(Outcome::LeadsBack)
}

/// The settings for it are taken back.
async fn read(client: &Client) -> Result<BTreeMap<Key, Fact>, Error> {
    let doing = || query("look at what a rollback file left");
    let set = format!("savepoint look; {}", session_settings::local());
    client.batch_execute(&set).await.map_err(doing())?;
    let facts = SchemaState::read_facts(client).await?;
    client.batch_execute("rollback to savepoint look").await.map_err(doing())?;
    Ok(facts)
}

fn different(found: &BTreeMap<Key, Fact>, expected: &BTreeMap<Key, Fact>) -> Vec<Fact> {
    let left = found.iter().filter(|(key, fact)| expected.get(*key) != Some(*fact));
    let gone = expected.iter().filter(|(key, _)| !found.contains_key(*key));
    left.chain(gone).map(|(_, fact)| fact.clone()).collect()
}
