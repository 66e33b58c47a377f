//! A job as an operator sees it.

use std::collections::HashMap;

use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::super::lock_holder::{LockHolder, visible_lock_holders};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    /// A session is on it right now; in the table it is pending.
    Running,
    Pending,
    /// It failed. It waits for a person, and holds up its prefix.
    Dead,
    /// A deletion that waits for an operator's approval, and holds up its prefix.
    Paused,
    Succeeded,
    Cancelled,
}

/// Times are RFC 3339 in UTC, or `infinity` as the database has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) state: State,
    pub(crate) agent_id: i64,
    pub(crate) agent_prefix: String,
    pub(crate) user_id: Option<String>,
    /// What is wanted, where the kind alone does not say it.
    pub(crate) argument: Option<String>,
    /// A deletion that nobody asked for: the tables were found without their agent.
    pub(crate) unreported: bool,
    /// An operator approved this deletion.
    pub(crate) deletion_confirmed: bool,
    pub(crate) priority: i16,
    /// Failed so far.
    pub(crate) attempts: i32,
    pub(crate) created_at: Option<String>,
    pub(crate) run_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    /// Of the last attempt.
    pub(crate) duration_ms: Option<f64>,
    pub(crate) outcome: Option<String>,
    /// Of the last attempt that failed, even where a later one succeeded.
    pub(crate) error: Option<String>,
    pub(crate) sqlstate: Option<String>,
    pub(crate) replayed_by: Option<String>,
    pub(crate) replayed_at: Option<String>,
    pub(crate) replay_reason: Option<String>,
    pub(crate) running: Option<Running>,
    /// How often an attempt gave way to a lock of somebody's.
    pub(crate) give_ways: i32,
    /// What the last attempt gave way for: a mode of a lock on shared tables, or `own tables`.
    pub(crate) lock_wanted: Option<String>,
    /// Who holds it up now, the oldest transaction first.
    pub(crate) blocked_by: Vec<LockHolder>,
    pub(crate) waits_for: Option<Earlier>,
}

/// The session that is on a job.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) role: Option<String>,
    /// Since the claim; `None` where this role may not see it.
    pub(crate) seconds: Option<f64>,
    /// The sessions that hold the lock it waits for.
    pub(crate) blocked_by_pids: Vec<i32>,
}

/// A job of the same prefix that has to be settled first.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Earlier {
    pub(crate) id: i64,
    pub(crate) state: State,
}

/// Which jobs; an absent condition holds for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) state: Option<State>,
    pub(crate) prefix: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) limit: Option<i64>,
}

/// A dead or paused job and how many it holds up.
#[derive(Clone, Debug)]
pub(crate) struct Blocked {
    pub(crate) id: i64,
    pub(crate) kind: String,
    pub(crate) state: State,
    pub(crate) agent_prefix: String,
    pub(crate) waiting: i64,
}

/// Running jobs first, then dead, paused, pending and finished ones, newest first in each.
pub(crate) async fn list(client: &Client, filter: &Filter) -> Result<Vec<Entry>, Error> {
    select(client, None, filter).await
}

/// One job.
pub(crate) async fn find(client: &Client, id: i64) -> Result<Option<Entry>, Error> {
    Ok(select(client, Some(id), &Filter::default()).await?.pop())
}

/// The dead and paused jobs that others wait for.
pub(crate) async fn blocked(client: &Client, prefix: Option<&str>) -> Result<Vec<Blocked>, Error> {
    let sql = include_str!("../../../sql/queries/desk_blocked.sql");
    let rows = client.query_typed(sql, &[(&prefix, Type::TEXT)]).await?;
    let read = |row: &Row| {
        Ok(Blocked {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            state: State::parse(row.try_get("state")?),
            agent_prefix: row.try_get("agent_prefix")?,
            waiting: row.try_get("waiting")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The dead job that holds up each prefix, and its kind.
pub(crate) async fn dead(client: &Client) -> Result<HashMap<String, (i64, String)>, Error> {
    let sql = "select distinct on (agent_prefix) agent_prefix, id, kind from provisioning.jobs \
               where state = 'dead' order by agent_prefix, id";
    let rows = client.query_typed(sql, &[]).await?;
    let read = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
    rows.iter().map(read).collect()
}

async fn select(client: &Client, id: Option<i64>, filter: &Filter) -> Result<Vec<Entry>, Error> {
    let rows = client
        .query_typed(
            include_str!("../../../sql/queries/desk_list.sql"),
            &[
                (&id, Type::INT8),
                (&filter.state.map(State::as_str), Type::TEXT),
                (&filter.prefix, Type::TEXT),
                (&filter.kind, Type::TEXT),
                (&filter.limit, Type::INT8),
            ],
        )
        .await?;
    let mut jobs = rows.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?;
    let waits = |job: &Entry| {
        job.state == State::Pending || (job.state == State::Running && job.lock_wanted.is_some())
    };
    if jobs.iter().any(waits) {
        let holders = visible_lock_holders(client).await?;
        for job in jobs.iter_mut().filter(|job| waits(job)) {
            let of_prefix = |holder: &LockHolder| {
                job.state == State::Pending && holder.prefix.as_ref() == Some(&job.agent_prefix)
            };
            let hold = |holder: &&LockHolder| match &job.lock_wanted {
                Some(wanted) => of_prefix(holder) || holder.holds_up(job.agent_id, wanted),
                None => of_prefix(holder),
            };
            job.blocked_by = holders.iter().filter(hold).cloned().collect();
        }
    }
    Ok(jobs)
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Pending => "pending",
            Self::Dead => "dead",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Cancelled => "cancelled",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "running" => Self::Running,
            "dead" => Self::Dead,
            "paused" => Self::Paused,
            "succeeded" => Self::Succeeded,
            "cancelled" => Self::Cancelled,
            _ => Self::Pending, // the table's check knows no other
        }
    }
}

impl Entry {
    fn read(row: &Row) -> Result<Self, Error> {
        let waits_for = match row.try_get("waits_for")? {
            Some(id) => Some(Earlier { id, state: State::parse(row.try_get("waits_for_state")?) }),
            None => None,
        };
        Ok(Self {
            id: row.try_get("id")?,
            kind: row.try_get("kind")?,
            state: State::parse(row.try_get("seen_as")?),
            agent_id: row.try_get("agent_id")?,
            agent_prefix: row.try_get("agent_prefix")?,
            user_id: row.try_get("user_id")?,
            argument: row.try_get("argument")?,
            unreported: row.try_get("unreported")?,
            deletion_confirmed: row.try_get("deletion_confirmed")?,
            priority: row.try_get("priority")?,
            attempts: row.try_get("attempts")?,
            created_at: row.try_get("created_at")?,
            run_at: row.try_get("run_at")?,
            finished_at: row.try_get("finished_at")?,
            duration_ms: row.try_get("duration_ms")?,
            outcome: row.try_get("outcome")?,
            error: row.try_get("last_error")?,
            sqlstate: row.try_get("last_sqlstate")?,
            replayed_by: row.try_get("replayed_by")?,
            replayed_at: row.try_get("replayed_at")?,
            replay_reason: row.try_get("replay_reason")?,
            running: Running::read(row)?,
            give_ways: row.try_get("give_ways")?,
            lock_wanted: row.try_get("lock_wanted")?,
            blocked_by: Vec::new(),
            waits_for,
        })
    }
}

impl Running {
    fn read(row: &Row) -> Result<Option<Self>, Error> {
        let Some(pid) = row.try_get("pid")? else { return Ok(None) };
        Ok(Some(Self {
            pid,
            role: row.try_get("role")?,
            seconds: row.try_get("seconds")?,
            blocked_by_pids: row.try_get("blocked_by_pids")?,
        }))
    }
}
