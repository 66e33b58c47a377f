//! A job as an operator sees it.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row};

use super::progress::untaken;
use crate::queue::{Kind, LockHolder, distinct, visible_lock_holders};

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
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
#[derive(Clone, Debug, JsonSchema, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column")]
pub(crate) struct JobView {
    pub(crate) id: i64,
    /// A newer release may have kinds that this one does not know.
    pub(crate) kind: String,
    pub(crate) state: State,
    pub(crate) agent_id: i64,
    pub(crate) agent_prefix: String,
    pub(crate) user_id: Option<String>,
    /// The role, and the person behind it where one is known.
    pub(crate) requested_by: Option<String>,
    /// A repair takes away what differs, too.
    pub(crate) force: bool,
    /// A repair runs nothing but the statements with this checksum; null: whatever it finds necessary.
    pub(crate) plan: Option<String>,
    /// An upgrade goes up to this one.
    pub(crate) template_version: Option<i32>,
    /// A conversion ties the agent to `agents` like this.
    pub(crate) reference: Option<String>,
    /// The first part of a deletion is done.
    pub(crate) keys_removed: bool,
    /// A deletion that nobody asked for: the tables were found without their agent.
    pub(crate) unreported: bool,
    /// An operator approved this deletion.
    pub(crate) deletion_confirmed: bool,
    pub(crate) priority: i16,
    /// Failed so far.
    pub(crate) attempts: i32,
    pub(crate) created_at: Option<String>,
    /// Since then.
    pub(crate) age_seconds: Option<f64>,
    pub(crate) run_at: Option<String>,
    pub(crate) finished_at: Option<String>,
    /// Of the last attempt.
    pub(crate) duration_ms: Option<f64>,
    pub(crate) outcome: Option<String>,
    #[serde(flatten)]
    pub(crate) cause: Cause,
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
    /// It has been due for a minute, and no worker runs that takes it.
    pub(crate) untaken: bool,
}

impl JobView {
    pub(crate) fn is(&self, kind: Kind) -> bool {
        self.kind == kind.as_str()
    }
}

/// The error of the last attempt that failed, even where a later one succeeded: the whole text, and in parts.
#[derive(Clone, Debug, Default, JsonSchema, Serialize)]
pub(crate) struct Cause {
    pub(crate) error: Option<String>,
    /// A code of this program, or of a newer one: see docs/schema.md.
    pub(crate) error_code: Option<String>,
    pub(crate) sqlstate: Option<String>,
    /// The template file of the statement that failed.
    pub(crate) file: Option<String>,
    /// Its line there.
    pub(crate) line: Option<i32>,
    /// Its first line.
    pub(crate) statement: Option<String>,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// What the error is about, qualified and quoted.
    pub(crate) relations: Vec<String>,
}

/// The session that is on a job.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Running {
    pub(crate) pid: i32,
    pub(crate) role: Option<String>,
    /// Since the claim; null where this role may not see it.
    pub(crate) seconds: Option<f64>,
    /// The sessions that hold the lock it waits for.
    pub(crate) blocked_by_pids: Vec<i32>,
}

/// A job of the same prefix that has to be settled first.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct Earlier {
    pub(crate) id: i64,
    pub(crate) state: State,
}

/// Which jobs; an absent condition holds for all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// Of these; none stands for any.
    pub(crate) ids: Vec<i64>,
    /// Of any of these states. A running job is pending, too.
    pub(crate) states: Vec<State>,
    /// A pattern: `*` is any text, `?` any letter.
    pub(crate) prefix: Option<String>,
    pub(crate) kinds: Vec<Kind>,
    /// Of the last error: a code, or a class such as `53*`.
    pub(crate) sqlstate: Option<String>,
    /// Created within this time.
    pub(crate) since: Option<Duration>,
    /// Occurs in the last error.
    pub(crate) text: Option<String>,
    /// Only those with a lower id: where the page before ended.
    pub(crate) before: Option<i64>,
    pub(crate) sort: Sort,
    pub(crate) limit: Option<i64>,
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// Running, dead, paused, pending, finished. Pending jobs as they will run, all others the newest first.
    #[default]
    State,
    /// The newest first, whatever their state.
    Newest,
    /// The oldest first.
    Age,
    Prefix,
    /// The most failures first.
    Failures,
}

impl Sort {
    fn as_str(self) -> Option<&'static str> {
        match self {
            Self::State => None,
            Self::Newest => Some("newest"),
            Self::Age => Some("age"),
            Self::Prefix => Some("prefix"),
            Self::Failures => Some("failures"),
        }
    }
}

impl Filter {
    /// The states in the table, which knows none that is called running.
    fn stored(&self) -> Option<Vec<&'static str>> {
        let stored = |state: &State| {
            if *state == State::Running { State::Pending.as_str() } else { state.as_str() }
        };
        (!self.states.is_empty()).then(|| self.states.iter().map(stored).collect())
    }

    fn seen(&self) -> Option<Vec<&'static str>> {
        (!self.states.is_empty()).then(|| self.states.iter().map(|state| state.as_str()).collect())
    }

    fn ids(&self) -> Option<&[i64]> {
        (!self.ids.is_empty()).then_some(&self.ids)
    }

    fn kinds(&self) -> Option<Vec<&'static str>> {
        (!self.kinds.is_empty()).then(|| self.kinds.iter().map(|kind| kind.as_str()).collect())
    }

    fn seconds(&self) -> Option<f64> {
        self.since.map(|since| since.as_secs_f64())
    }
}

/// A pattern of a prefix, in the forms that the server can look for by an index.
#[derive(Debug, Default)]
struct Pattern {
    /// For LIKE; `None` where it has no wildcard.
    like: Option<String>,
    /// The prefix, where it has no wildcard.
    whole: Option<String>,
    /// What stands before the first wildcard.
    head: Option<String>,
}

impl Pattern {
    fn new(text: Option<&str>) -> Self {
        let Some(text) = text else { return Self::default() };
        let Some(wildcard) = text.find(['*', '?']) else {
            return Self { whole: Some(text.to_owned()), ..Self::default() };
        };
        let head = text.get(..wildcard).filter(|head| !head.is_empty());
        Self { like: Some(like(text)), whole: None, head: head.map(ToOwned::to_owned) }
    }
}

/// A pattern of LIKE for one of a shell.
fn like(pattern: &str) -> String {
    let letter = |c| match c {
        '*' => "%".to_owned(),
        '?' => "_".to_owned(),
        '%' | '_' | '\\' => format!("\\{c}"),
        c => c.to_string(),
    };
    pattern.chars().map(letter).collect()
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

/// In the filter's order.
pub(crate) async fn list(client: &Client, filter: &Filter) -> Result<Vec<JobView>, Error> {
    select(client, filter).await
}

pub(crate) async fn find(client: &Client, id: i64) -> Result<Option<JobView>, Error> {
    Ok(select(client, &Filter { ids: vec![id], ..Filter::default() }).await?.pop())
}

/// The ids of those in any of the filter's states, whatever its limit.
pub(crate) async fn ids(client: &Client, filter: &Filter) -> Result<Vec<i64>, Error> {
    let sql = include_str!("../../../sql/queue/admin/job_view_ids.sql");
    let (prefix, sqlstate) =
        (filter.prefix.as_deref().map(like), filter.sqlstate.as_deref().map(like));
    let parameters: [(&(dyn ToSql + Sync), Type); 7] = [
        (&filter.stored(), Type::TEXT_ARRAY),
        (&prefix, Type::TEXT),
        (&filter.kinds(), Type::TEXT_ARRAY),
        (&sqlstate, Type::TEXT),
        (&filter.seconds(), Type::FLOAT8),
        (&filter.text, Type::TEXT),
        (&filter.ids(), Type::INT8_ARRAY),
    ];
    client.query_typed(sql, &parameters).await?.iter().map(|row| row.try_get(0)).collect()
}

/// How many there are without the limit, at most `most`.
pub(crate) async fn count(client: &Client, filter: &Filter, most: i64) -> Result<i64, Error> {
    let sql = include_str!("../../../sql/queue/admin/job_view_count.sql");
    let prefix = Pattern::new(filter.prefix.as_deref());
    let sqlstate = filter.sqlstate.as_deref().map(like);
    let parameters: [(&(dyn ToSql + Sync), Type); 10] = [
        (&filter.stored(), Type::TEXT_ARRAY),
        (&prefix.like, Type::TEXT),
        (&filter.kinds(), Type::TEXT_ARRAY),
        (&sqlstate, Type::TEXT),
        (&filter.seconds(), Type::FLOAT8),
        (&most, Type::INT8),
        (&filter.text, Type::TEXT),
        (&filter.ids(), Type::INT8_ARRAY),
        (&prefix.whole, Type::TEXT),
        (&prefix.head, Type::TEXT),
    ];
    let rows = client.query_typed(sql, &parameters).await?;
    rows.first().map_or(Ok(0), |row| row.try_get(0))
}

/// The dead and paused jobs that others wait for.
pub(crate) async fn blocked(client: &Client, prefix: Option<&str>) -> Result<Vec<Blocked>, Error> {
    let sql = include_str!("../../../sql/queue/admin/job_view_blocked.sql");
    let prefix = prefix.map(like);
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
pub(crate) async fn dead(client: &Client) -> Result<HashMap<String, (i64, Kind)>, Error> {
    let sql = "select distinct on (agent_prefix) agent_prefix, id, kind from provisioning.jobs \
               where state = 'dead' order by agent_prefix, id";
    let rows = client.query_typed(sql, &[]).await?;
    let read = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
    rows.iter().map(read).collect()
}

async fn select(client: &Client, filter: &Filter) -> Result<Vec<JobView>, Error> {
    let prefix = Pattern::new(filter.prefix.as_deref());
    let sqlstate = filter.sqlstate.as_deref().map(like);
    let parameters: [(&(dyn ToSql + Sync), Type); 12] = [
        (&filter.ids(), Type::INT8_ARRAY),
        (&filter.seen(), Type::TEXT_ARRAY),
        (&prefix.like, Type::TEXT),
        (&filter.kinds(), Type::TEXT_ARRAY),
        (&filter.limit, Type::INT8),
        (&sqlstate, Type::TEXT),
        (&filter.seconds(), Type::FLOAT8),
        (&filter.sort.as_str(), Type::TEXT),
        (&filter.text, Type::TEXT),
        (&filter.before, Type::INT8),
        (&prefix.whole, Type::TEXT),
        (&prefix.head, Type::TEXT),
    ];
    let sql = include_str!("../../../sql/queue/admin/job_view.sql");
    let rows = client.query_typed(sql, &parameters).await?;
    let mut jobs = rows.iter().map(JobView::read).collect::<Result<Vec<_>, _>>()?;
    let waits = |job: &JobView| {
        job.state == State::Pending || (job.state == State::Running && job.lock_wanted.is_some())
    };
    if jobs.iter().any(waits) {
        let holders = visible_lock_holders(client).await?;
        for job in jobs.iter_mut().filter(|job| waits(job)) {
            let of_prefix = |holder: &LockHolder| {
                job.state == State::Pending
                    && (holder.prefix.as_ref() == Some(&job.agent_prefix) || holder.holds_up_all())
            };
            let hold = |holder: &&LockHolder| match &job.lock_wanted {
                Some(wanted) => of_prefix(holder) || holder.holds_up(job.agent_id, wanted),
                None => of_prefix(holder),
            };
            job.blocked_by = distinct(holders.iter().filter(hold).cloned().collect());
        }
    }
    let open = jobs.iter().filter(|job| job.state == State::Pending).map(|job| job.id);
    let open: Vec<i64> = open.collect();
    if !open.is_empty() {
        let untaken = match untaken(client, &open, Some(NO_WORKER)).await {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => HashSet::new(),
            found => found?,
        };
        for job in &mut jobs {
            job.untaken = untaken.contains(&job.id);
        }
    }
    Ok(jobs)
}

/// A worker that runs has taken a job by then.
const NO_WORKER: Duration = Duration::from_mins(1);

impl State {
    /// Every state.
    pub(crate) const ALL: [Self; 6] =
        [Self::Running, Self::Pending, Self::Dead, Self::Paused, Self::Succeeded, Self::Cancelled];

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

    pub(crate) fn parse(text: &str) -> Self {
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

impl JobView {
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
            requested_by: row.try_get("requested_by")?,
            force: row.try_get("force")?,
            plan: row.try_get("plan")?,
            template_version: row.try_get("template_version")?,
            reference: row.try_get("reference")?,
            keys_removed: row.try_get("keys_removed")?,
            unreported: row.try_get("unreported")?,
            deletion_confirmed: row.try_get("deletion_confirmed")?,
            priority: row.try_get("priority")?,
            attempts: row.try_get("attempts")?,
            created_at: row.try_get("created_at")?,
            age_seconds: row.try_get("age_seconds")?,
            run_at: row.try_get("run_at")?,
            finished_at: row.try_get("finished_at")?,
            duration_ms: row.try_get("duration_ms")?,
            outcome: row.try_get("outcome")?,
            cause: Cause::read(row)?,
            replayed_by: row.try_get("replayed_by")?,
            replayed_at: row.try_get("replayed_at")?,
            replay_reason: row.try_get("replay_reason")?,
            running: Running::read(row)?,
            give_ways: row.try_get("give_ways")?,
            lock_wanted: row.try_get("lock_wanted")?,
            blocked_by: Vec::new(),
            waits_for,
            untaken: false,
        })
    }
}

impl Cause {
    /// Whether the server's disk was full.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.sqlstate.as_deref() == Some("53100")
    }

    fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            error: row.try_get("last_error")?,
            error_code: row.try_get("last_error_code")?,
            sqlstate: row.try_get("last_sqlstate")?,
            file: row.try_get("last_error_file")?,
            line: row.try_get("last_error_line")?,
            statement: row.try_get("last_error_statement")?,
            detail: row.try_get("last_error_detail")?,
            hint: row.try_get("last_error_hint")?,
            relations: row.try_get::<_, Option<_>>("last_error_relations")?.unwrap_or_default(),
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
