//! Who did what, when and why.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use crate::postgres::query;
use crate::service::Instance;

/// What persons do, as `provisioning.actions` spells it.
pub(crate) const ACTIONS: [&str; 15] = [
    "replay", "retry", "approve", "cancel", "repair", "upgrade", "convert", "restore", "purge",
    "start", "pause", "resume", "abort", "accept", "withdraw",
];

/// Which actions are meant.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Only before this one.
    pub before: Option<i64>,
    /// Part of who has done it.
    pub by: Option<String>,
    pub action: Option<String>,
    /// So long ago at the most.
    pub since: Option<Duration>,
    /// Done to this job. Of an action on very many jobs not all are known.
    pub job: Option<i64>,
}

/// Something that a person has done.
#[derive(Debug)]
pub(crate) struct PersonsAction {
    pub id: i64,
    /// RFC 3339, in UTC.
    pub done_at: String,
    /// The role, and the person behind it where one is known.
    pub done_by: String,
    pub action: String,
    pub reason: Option<String>,
    /// Some of the jobs that it was done to.
    pub jobs: Vec<i64>,
    /// Those of the first of them that are still there.
    pub present: Vec<i64>,
    pub job_count: i64,
    /// Of some of these jobs.
    pub prefixes: Option<String>,
    pub rollout: Option<i64>,
    /// The key of doctor's finding.
    pub finding: Option<String>,
}

/// The latest first, at most so many.
pub(crate) async fn list(
    instance: &Instance,
    filter: &Filter,
    most: i64,
) -> Result<Vec<PersonsAction>, Error> {
    let client = instance.current().await?;
    let doing = || query("read what persons have done");
    let sql = include_str!("../../sql/operations/activity.sql");
    let since = filter.since.map(|since| since.as_secs_f64());
    let asked: [(&(dyn ToSql + Sync), Type); 6] = [
        (&filter.before, Type::INT8),
        (&filter.by, Type::TEXT),
        (&filter.action, Type::TEXT),
        (&since, Type::FLOAT8),
        (&most, Type::INT8),
        (&filter.job, Type::INT8),
    ];
    let rows = client.query_typed(sql, &asked).await.map_err(doing())?;
    Ok(rows.iter().map(done).collect::<Result<_, _>>().map_err(doing())?)
}

fn done(row: &Row) -> Result<PersonsAction, tokio_postgres::Error> {
    Ok(PersonsAction {
        id: row.try_get("id")?,
        done_at: row.try_get("done_at")?,
        done_by: row.try_get("done_by")?,
        action: row.try_get("action")?,
        reason: row.try_get("reason")?,
        jobs: row.try_get("jobs")?,
        present: row.try_get("present")?,
        job_count: row.try_get("job_count")?,
        prefixes: row.try_get("prefixes")?,
        rollout: row.try_get("rollout")?,
        finding: row.try_get("finding")?,
    })
}
