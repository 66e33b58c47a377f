//! Bringing a deleted agent back from the trash, in a transaction that the caller opened.
//!
//! The caller is an operator who may write to `agents`, or a worker on a job that an operator has queued. The tables are
//! handled in their owner's role. No text of
//! the trash is run: the server puts each statement together, and quotes every name. Foreign keys come back
//! afterwards, see [`super::outside_keys`].

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::error::{Error, query};
use crate::postgres::run_each;
use crate::queue::Outcome;
use crate::schema;
use crate::telemetry::ErrorReport;
use crate::templates::act_as_oneself;

/// A deleted agent that can still be restored.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Trashed {
    /// Its number in the trash.
    pub item: i64,
    /// As it was, and will be again.
    #[serde(rename = "prefix")]
    pub agent_prefix: String,
    /// The same.
    #[serde(rename = "id")]
    pub agent_id: i64,
    /// Whose it was when it was deleted, a UUID; null also where that is not known.
    #[serde(rename = "user")]
    pub user_id: Option<String>,
    /// Whether that is known.
    pub owner_known: bool,
    /// RFC 3339, in UTC, as all times.
    #[serde(rename = "trashed_at")]
    pub deleted_at: String,
    /// From then on it may be gone at any moment.
    pub purge_at: String,
    /// That are there.
    pub tables: i64,
    /// Tables outside schema `public`, qualified and quoted as they were and will be again.
    #[serde(skip)]
    pub elsewhere: Vec<String>,
    /// Statements that make the schemas that it needs and that somebody has dropped.
    #[serde(skip)]
    pub lost_schemas: Vec<String>,
    /// How long ago it was deleted, in seconds.
    #[serde(skip)]
    pub age: f64,
    /// As the server last counted; `None`: it never did.
    #[serde(skip)]
    pub rows: Option<i64>,
    /// Of tables and indexes, as the server last counted.
    #[serde(skip)]
    pub bytes: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Restored {
    /// In this order.
    pub statements: Vec<String>,
    /// What could not be given back, and why: a role or publication may be gone by now.
    pub failed: Vec<(String, tokio_postgres::Error)>,
    /// What a person has to give back, since no text from the trash is run.
    pub by_hand: Vec<String>,
    /// Its user is gone, or has another agent by now.
    pub orphaned: bool,
    /// Whether it is known whose the agent was. If not, it has no user now.
    pub owner_known: bool,
    /// Whose it was on the day when its tables were built.
    pub built_for: Option<String>,
}

/// Something to give back to the tables.
struct RestoreAction {
    by_hand: bool,
    statement: String,
}

impl Trashed {
    /// Everything in the trash, by prefix, the latest first.
    pub(crate) async fn read(client: &Client) -> Result<Vec<Self>, Error> {
        let sql = include_str!("../../sql/provisioning/restore_list.sql");
        let rows = client.query_typed(sql, &[]).await;
        Ok(rows.map_err(query("look into the trash"))?.iter().map(Self::from_row).collect())
    }

    fn from_row(row: &Row) -> Self {
        let owner: Option<&str> = row.get("owner");
        let owner = owner.map(|owner| format!(" authorization {owner}")).unwrap_or_default();
        let lost: Vec<&str> = row.get("lost_schemas");
        Self {
            elsewhere: row.get("elsewhere"),
            lost_schemas: lost.iter().map(|lost| format!("create schema {lost}{owner}")).collect(),
            item: row.get("item"),
            agent_prefix: row.get("agent_prefix"),
            agent_id: row.get("agent_id"),
            user_id: row.get("user_id"),
            owner_known: row.get("owner_known"),
            deleted_at: row.get("trashed_at"),
            purge_at: row.get("purge_at"),
            tables: row.get("tables"),
            age: row.get("age"),
            rows: row.get("rows"),
            bytes: row.get("bytes"),
        }
    }
}

/// Gives an agent its row, tables, registration and WhatsApp configuration back, without the foreign keys to tables
/// that stayed: the registry has them as removed ones. `None`: it has left the trash.
pub(crate) async fn restore(client: &Client, trashed: &Trashed) -> Result<Option<Restored>, Error> {
    take(client, "select * from provisioning.take_from_trash($1)", trashed.item).await
}

/// The same for a job that an operator has queued, with the rights of a worker: the server enters the agent, and the worker
/// moves its own tables.
pub(crate) async fn restore_job(client: &Client, job: i64) -> Result<Outcome, Error> {
    let restored = take(client, "select * from provisioning.restore_item($1)", job).await?;
    act_as_oneself(client).await?;
    let Restored { failed, by_hand, .. } = restored.unwrap_or_default();
    for (statement, error) in &failed {
        let error = ErrorReport(error);
        tracing::warn!(job.id = job, statement, %error, "cannot give a restored agent what it had");
    }
    for statement in &by_hand {
        tracing::warn!(
            job.id = job,
            statement,
            "a person has to give a restored agent what it had"
        );
    }
    Ok(Outcome::Restored { whole: failed.is_empty() && by_hand.is_empty() })
}

/// `sql` has the server take an agent out of the trash, by this number.
async fn take(client: &Client, sql: &str, number: i64) -> Result<Option<Restored>, Error> {
    let rows = client.query_typed(sql, &[(&number, Type::INT8)]).await;
    let rows = rows.map_err(query("restore the agent's row"))?;
    let Some(row) = rows.first() else { return Ok(None) };
    if !row.get::<_, bool>("complete") {
        return Err(Error::Swallowed("public.agents or a table of schema provisioning"));
    }
    // Sent at the commit. Asked for now, since the tables' owner may not be allowed to.
    let tell = "select provisioning.notify('pgrst', 'reload schema')";
    client.batch_execute(tell).await.map_err(query("tell the API"))?;
    let role = format!("set local role {}", row.get::<_, Option<&str>>("owner").unwrap_or("none"));
    let mut restored = Restored {
        statements: vec![role.clone()],
        orphaned: row.get("orphaned"),
        owner_known: row.get("owner_known"),
        built_for: row.get("built_for"),
        ..Restored::default()
    };
    let entries = RestoreAction::read(client, row.get("restore_actions")).await?;
    restored.statements.extend(row.get::<_, Vec<String>>("statements"));
    run_each(client, &restored.statements, "move the agent's tables back").await?;
    require_moved(client, row).await?;
    for entry in entries {
        restored.give_back(client, entry, &role).await?;
    }
    Ok(Some(restored))
}

/// Refuses where the names in the trash have come to mean other tables than those that were registered. What was moved is
/// locked by now.
async fn require_moved(client: &Client, row: &Row) -> Result<(), Error> {
    let tables: Vec<u32> = row.get("tables");
    let (schemas, names): (Vec<String>, Vec<String>) = (row.get("schemas"), row.get("names"));
    let sql = "select count(*) from unnest($1, $2, $3) moved (oid, schema, name) \
               join pg_catalog.pg_class c on c.oid = moved.oid and c.relname = moved.name \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = moved.schema";
    let asked: [(&(dyn ToSql + Sync), Type); 3] =
        [(&tables, Type::OID_ARRAY), (&schemas, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
    let found = client.query_typed(sql, &asked).await;
    let found = found.map_err(query("look for the agent's tables"))?;
    let there: i64 = found.first().map_or(0, |row| row.get(0));
    if usize::try_from(there) == Ok(tables.len()) {
        return Ok(());
    }
    Err(schema::Error::Vanished.into())
}

impl Restored {
    /// Gives one thing back, or takes its own attempt back.
    async fn give_back(
        &mut self,
        client: &Client,
        action: RestoreAction,
        role: &str,
    ) -> Result<(), Error> {
        let RestoreAction { by_hand, statement } = action;
        if by_hand {
            self.by_hand.push(statement);
            return Ok(());
        }
        let savepoint = format!("savepoint give_back; {role}");
        let (prepared, done) = tokio::join!(biased; client.batch_execute(&savepoint), async {
            client.execute_typed(&statement, &[]).await
        });
        prepared.map_err(query("open a savepoint"))?;
        let end = if done.is_ok() { "" } else { "rollback to savepoint give_back; " };
        let ended = client.batch_execute(&format!("{end}release savepoint give_back")).await;
        ended.map_err(query("give back what the agent had"))?;
        match done {
            Ok(_) => self.statements.push(statement),
            Err(error) => self.failed.push((statement, error)),
        }
        Ok(())
    }
}

impl RestoreAction {
    async fn read(client: &Client, entries: Vec<String>) -> Result<Vec<Self>, Error> {
        let sql = include_str!("../../sql/provisioning/restore_actions.sql");
        let rows = client.query_typed(sql, &[(&entries, Type::TEXT_ARRAY)]).await;
        let rows = rows.map_err(query("read what the agent had"))?;
        let entry = |row: &Row| {
            Some(Self {
                by_hand: row.get("by_hand"),
                statement: row.get::<_, Option<String>>("statement")?,
            })
        };
        Ok(rows.iter().filter_map(entry).collect())
    }
}
