//! Rollouts: what an operator asks of them, and how they are shown.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::progress::Followed;

/// What an operator makes of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RolloutState {
    Running,
    Paused,
    Aborted,
}

impl RolloutState {
    /// As `provisioning.rollouts.state` spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Aborted => "aborted",
        }
    }
}

/// A rollout to start.
#[derive(Debug)]
pub(crate) struct NewRollout<'a> {
    /// In this order.
    pub(crate) agents: &'a [i64],
    pub(crate) version: i32,
    /// That version, and the checksum of its files.
    pub(crate) templates: &'a str,
    pub(crate) canaries: i32,
    pub(crate) max_failures: Option<i32>,
    pub(crate) at_a_time: Option<i32>,
    pub(crate) reason: Option<&'a str>,
    /// The person who asks, besides the role.
    pub(crate) who: Option<&'a str>,
}

/// What came of a request to start one.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) id: i64,
    /// Of the one that is under way.
    pub(crate) state: String,
    pub(crate) result: StartResult,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartResult {
    Started,
    /// One that does the same is under way.
    Joined,
    /// Another one is under way.
    Refused,
}

/// Starts a rollout, and queues its first jobs.
pub(crate) async fn start(client: &Client, new: &NewRollout<'_>) -> Result<Start, Error> {
    let sql =
        "select id, state, result from provisioning.start_rollout($1, $2, $3, $4, $5, $6, $7, $8)";
    let asked: [(&(dyn ToSql + Sync), Type); 8] = [
        (&new.agents, Type::INT8_ARRAY),
        (&new.version, Type::INT4),
        (&new.templates, Type::TEXT),
        (&new.canaries, Type::INT4),
        (&new.max_failures, Type::INT4),
        (&new.at_a_time, Type::INT4),
        (&new.reason, Type::TEXT),
        (&new.who, Type::TEXT),
    ];
    let rows = client.query_typed(sql, &asked).await?;
    let row = rows.first();
    let text = |name| row.map(|row| row.try_get::<&str, &str>(name)).transpose();
    Ok(Start {
        id: row.map(|row| row.try_get("id")).transpose()?.unwrap_or_default(),
        state: text("state")?.unwrap_or_default().to_owned(),
        result: match text("result")? {
            Some("started") => StartResult::Started,
            Some("joined") => StartResult::Joined,
            _ => StartResult::Refused,
        },
    })
}

/// What came of a request to pause, resume or abort one.
#[derive(Debug)]
pub(crate) struct RolloutChange {
    /// What it is now. Not what was wanted: it was over.
    pub(crate) state: String,
    /// Whether it was anything else before.
    pub(crate) changed: bool,
    /// Jobs that were taken back.
    pub(crate) taken_back: i64,
}

/// `None`: there is no such rollout.
pub(crate) async fn change(
    client: &Client,
    rollout: i64,
    wanted: RolloutState,
    reason: Option<&str>,
    who: Option<&str>,
) -> Result<Option<RolloutChange>, Error> {
    let sql = "select state, changed, taken_back from provisioning.change_rollout($1, $2, $3, $4)";
    let asked: [(&(dyn ToSql + Sync), Type); 4] = [
        (&rollout, Type::INT8),
        (&wanted.as_str(), Type::TEXT),
        (&reason, Type::TEXT),
        (&who, Type::TEXT),
    ];
    let rows = client.query_typed(sql, &asked).await?;
    let read = |row: &Row| {
        Ok(RolloutChange {
            state: row.try_get("state")?,
            changed: row.try_get("changed")?,
            taken_back: row.try_get("taken_back")?,
        })
    };
    rows.first().map(read).transpose()
}

/// A rollout. Times are RFC 3339 in UTC.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct RolloutView {
    pub(crate) id: i64,
    /// `running`, `paused`, `done`, `failed` or `aborted`.
    pub(crate) state: String,
    /// `canary` or `all`; null: it has ended.
    pub(crate) stage: Option<String>,
    /// Its agents come to this version of the templates.
    pub(crate) template_version: i32,
    /// That version, and the checksum of its files.
    pub(crate) templates: String,
    /// So many agents before all others.
    pub(crate) canaries: i32,
    /// So many failures stop it; null: none do.
    pub(crate) max_failures: Option<i32>,
    /// Jobs in the queue; null: all at once.
    pub(crate) at_a_time: Option<i32>,
    pub(crate) requested_by: String,
    pub(crate) reason: Option<String>,
    pub(crate) started_at: String,
    /// Who paused, resumed or aborted it last.
    pub(crate) changed_by: Option<String>,
    pub(crate) change_reason: Option<String>,
    pub(crate) changed_at: Option<String>,
    /// The number of failures that stopped it.
    pub(crate) stopped_after: Option<i32>,
    /// None of its jobs is in the queue from then on.
    pub(crate) ended_at: Option<String>,
    pub(crate) agents: i64,
    pub(crate) succeeded: i64,
    pub(crate) failed: i64,
    /// Jobs that were taken back for good.
    pub(crate) cancelled: i64,
    /// Agents that were deleted meanwhile.
    pub(crate) gone: i64,
    /// Jobs in the queue now.
    pub(crate) queued: i64,
    /// Agents without a job.
    pub(crate) waiting: i64,
    /// Agents that wait while no worker takes their jobs.
    pub(crate) untaken: i64,
    /// Jobs that are put off, since the server's disk was full.
    pub(crate) disk_full: i64,
}

/// The latest first, at most so many.
pub(crate) async fn rollouts(
    client: &Client,
    id: Option<i64>,
    most: i64,
) -> Result<Vec<RolloutView>, Error> {
    let sql = include_str!("../../../sql/queue/admin/rollouts.sql");
    let asked: [(&(dyn ToSql + Sync), Type); 2] = [(&id, Type::INT8), (&most, Type::INT8)];
    client.query_typed(sql, &asked).await?.iter().map(RolloutView::read).collect()
}

/// The jobs of a rollout that have failed.
pub(crate) async fn failures(client: &Client, rollout: i64) -> Result<Vec<Followed>, Error> {
    let sql = include_str!("../../../sql/queue/admin/rollout_failures.sql");
    let rows = client.query_typed(sql, &[(&rollout, Type::INT8)]).await?;
    rows.iter().map(Followed::read).collect()
}

/// Whether a rollout is still to come to one of these agents.
pub(crate) async fn has(client: &Client, rollout: i64, agents: &[i64]) -> Result<bool, Error> {
    let sql = "select exists (select from provisioning.rollout_agents \
               where rollout = $1 and result is null and agent_id = any ($2))";
    let asked: [(&(dyn ToSql + Sync), Type); 2] =
        [(&rollout, Type::INT8), (&agents, Type::INT8_ARRAY)];
    let rows = client.query_typed(sql, &asked).await?;
    rows.first().map_or(Ok(false), |row| row.try_get(0))
}

impl RolloutView {
    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get("id")?,
            state: row.try_get("state")?,
            stage: row.try_get("stage")?,
            template_version: row.try_get("template_version")?,
            templates: row.try_get("templates")?,
            canaries: row.try_get("canaries")?,
            max_failures: row.try_get("max_failures")?,
            at_a_time: row.try_get("at_a_time")?,
            requested_by: row.try_get("requested_by")?,
            reason: row.try_get("reason")?,
            started_at: row.try_get("started_at")?,
            changed_by: row.try_get("changed_by")?,
            change_reason: row.try_get("change_reason")?,
            changed_at: row.try_get("changed_at")?,
            stopped_after: row.try_get("stopped_after")?,
            ended_at: row.try_get("ended_at")?,
            agents: row.try_get("agents")?,
            succeeded: row.try_get("succeeded")?,
            failed: row.try_get("failed")?,
            cancelled: row.try_get("cancelled")?,
            gone: row.try_get("gone")?,
            queued: row.try_get("queued")?,
            waiting: row.try_get("waiting")?,
            untaken: row.try_get("untaken")?,
            disk_full: row.try_get("disk_full")?,
        })
    }

    /// Whether nothing of it is in the queue, and nothing follows.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }
}
