//! The side that an agent leaves.

use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::layout::TableLayout;
use super::record::Move;
use crate::postgres::{QueryError, query};

/// What of an agent goes to the other database, besides its tables and its row in `agents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carried {
    All,
    /// Neither its numbers nor its configuration: no message finds it there.
    NoRoutes,
}

/// An agent as it is to go.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    pub(crate) agent: i64,
    /// Of its templates.
    pub(crate) version: i32,
    pub(crate) tables: Vec<u32>,
    /// Its rows in tables that all agents share, as JSON. API keys and encrypted tokens are among it.
    pub(crate) carried: String,
}

impl Leaving {
    /// `None`: there is no such agent, or it is not built.
    pub(crate) async fn read(
        client: &Client,
        prefix: &str,
        what: Carried,
    ) -> Result<Option<Self>, QueryError> {
        let doing = || query("read the agent");
        let sql = include_str!("../../../sql/provisioning/moving_carried.sql");
        let routes = what == Carried::All;
        let asked: [(&(dyn ToSql + Sync), Type); 2] =
            [(&prefix, Type::TEXT), (&routes, Type::BOOL)];
        let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(Self {
            agent: row.try_get("id").map_err(doing())?,
            version: row.try_get("template_version").map_err(doing())?,
            tables: row.try_get("tables").map_err(doing())?,
            carried: row.try_get("carried").map_err(doing())?,
        }))
    }
}

/// The open jobs of a prefix: id and state.
pub(crate) async fn open_jobs(
    client: &Client,
    prefix: &str,
) -> Result<Vec<(i64, String)>, QueryError> {
    let doing = || query("look for open jobs");
    let sql = "select id, state from provisioning.jobs \
               where agent_prefix = $1 and state in ('pending', 'dead', 'paused') order by id";
    let rows = client.query_typed(sql, &[(&prefix, Type::TEXT)]).await.map_err(doing())?;
    let job = |row: &tokio_postgres::Row| Ok((row.try_get("id")?, row.try_get("state")?));
    rows.iter().map(job).collect::<Result<_, _>>().map_err(doing())
}

/// Keeps workers from the prefix, and everybody from changing the agent's rows in tables that all agents share.
pub(crate) async fn lock_rows(client: &Client, prefix: &str) -> Result<(), QueryError> {
    // As provisioning.claim takes it.
    let job = "select pg_advisory_xact_lock(hashtextextended($1, provisioning.prefix_lock_seed()))";
    let locked = client.query_typed(job, &[(&prefix, Type::TEXT)]).await;
    locked.map_err(query("wait for the agent's job"))?;
    let sql = include_str!("../../../sql/provisioning/moving_lock_rows.sql");
    let locked = client.query_typed(sql, &[(&prefix, Type::TEXT)]).await;
    locked.map(drop).map_err(query("lock the agent's row"))
}

/// Keeps writers from the tables. Readers go on.
pub(crate) async fn lock_tables(client: &Client, tables: &[TableLayout]) -> Result<(), QueryError> {
    let lock = lock_statement(tables, "share row exclusive");
    client.batch_execute(&lock).await.map_err(query("lock the agent's tables against writers"))
}

/// Locks tables in a mode of `lock table`.
pub(super) fn lock_statement(tables: &[TableLayout], mode: &str) -> String {
    let names: Vec<&str> = tables.iter().map(|table| table.relation.as_str()).collect();
    format!("lock table {} in {mode} mode", names.join(", "))
}

/// The statement that keeps others from changing how the tables are made. Writers go on.
pub(crate) fn lock_of_readers(tables: &[TableLayout]) -> String {
    lock_statement(tables, "access share")
}

/// Who keeps [`lock_tables`] and [`lock_rows`] waiting, each with the statement that ends it.
pub(crate) async fn holders(client: &Client, prefix: &str) -> Result<Vec<String>, QueryError> {
    let sql = include_str!("../../../sql/provisioning/moving_holders.sql");
    let rows = client.query_typed(sql, &[(&prefix, Type::TEXT)]).await;
    let rows = rows.map_err(query("look who has the tables locked"))?;
    Ok(rows.iter().filter_map(|row| row.try_get(0).ok()).collect())
}

/// The hand-over: with the commit of this the source refuses writes. The job that deletes the agent here, which waits for
/// approval.
pub(crate) async fn hand_over(
    client: &Client,
    id: &str,
    copy: &str,
    rows: i64,
    who: Option<&str>,
) -> Result<Option<i64>, QueryError> {
    let doing = || query("hand the agent over");
    let sql = "select provisioning.hand_over($1::text::uuid, $2::text::uuid, $3, $4)";
    let asked: [(&(dyn ToSql + Sync), Type); 4] =
        [(&id, Type::TEXT), (&copy, Type::TEXT), (&rows, Type::INT8), (&who, Type::TEXT)];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    rows.first().map(|row| row.try_get(0)).transpose().map_err(doing())
}

/// Opens what the hand-over has closed, and ends the move.
pub(crate) async fn take_back(client: &Client, id: &str) -> Result<(), QueryError> {
    let sql = "select provisioning.take_back($1::text::uuid)";
    let done = client.query_typed(sql, &[(&id, Type::TEXT)]).await;
    done.map(drop).map_err(query("take the move back"))
}

/// Ends the move where the target has taken over: the deletion here may go on. In a transaction that the caller opened. A job: that
/// is the deletion, and it is still paused, since another session has it.
pub(crate) async fn approve(
    client: &Client,
    id: &str,
    who: Option<&str>,
) -> Result<Option<i64>, QueryError> {
    let doing = || query("approve the deletion");
    let sql = include_str!("../../../sql/provisioning/moving_approve.sql");
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::TEXT), (&who, Type::TEXT)];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    rows.first().map(|row| row.try_get(0)).transpose().map_err(doing())
}

/// Opens the tables of an agent that is back from the trash although it was moved, and notes that the move does not count.
pub(crate) async fn reopen(client: &Client, away: &Move) -> Result<(), QueryError> {
    let doing = || query("open the agent's tables again");
    // To bring the tables back the restore has acted as their owner.
    client.batch_execute("set local role none").await.map_err(doing())?;
    let sql = include_str!("../../../sql/provisioning/moving_reopen.sql");
    let rows = client.query_typed(sql, &[(&away.agent, Type::INT8), (&away.id, Type::TEXT)]).await;
    let statements = rows.map_err(doing())?;
    let statements = statements.iter().map(|row| row.try_get::<_, String>(0).map_err(doing()));
    let statements = statements.collect::<Result<Vec<_>, _>>()?;
    client.batch_execute(&statements.join(";\n")).await.map_err(doing())
}
