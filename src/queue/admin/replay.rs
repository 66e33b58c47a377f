//! What an operator asks of jobs: to be tried again, to be approved, or to be given up.

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row};

use super::job_view::State;
use crate::queue::{Kind, LockHolder, visible_lock_holders};

/// Which jobs are to go back into the queue.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Dead, paused or pending ones, and cancelled deletions of agents that are gone but for their tables. To name a paused
    /// deletion is to approve it.
    Ids(Vec<i64>),
    /// The dead jobs of a prefix.
    Prefix(String),
    AllDead,
    /// Paused deletions.
    Paused(Vec<i64>),
    AllPaused,
    /// What a filter has found: dead or pending jobs. No deletion is confirmed by that.
    Found(Vec<i64>, Vec<State>),
}

/// What goes into the record, and whether anything is to happen at all.
#[derive(Clone, Debug)]
pub(crate) struct By {
    /// The person, besides the database role.
    pub(crate) who: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) dry_run: bool,
}

/// What came of the request for one job.
#[derive(Clone, Debug, JsonSchema, Serialize)]
pub(crate) struct JobResult {
    pub(crate) id: i64,
    pub(crate) kind: Option<Kind>,
    pub(crate) agent_prefix: Option<String>,
    pub(crate) result: ResultKind,
    pub(crate) reason: Option<String>,
    /// Before anything was done; none where there is no such job.
    #[serde(skip)]
    pub(crate) was: Option<Was>,
    /// Another session has its row locked.
    #[serde(skip)]
    is_held: bool,
    /// What is left to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// How it ended, where somebody waited for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<super::End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ResultKind {
    Done,
    /// It would have been done.
    DryRun,
    /// It was so before.
    Unchanged,
    /// It cannot be done; the reason says why.
    Skipped,
    /// There is no such job.
    Missing,
}

/// What changes as a job is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Was {
    pub(crate) state: State,
    /// Failed attempts.
    pub(crate) attempts: i32,
}

/// What the rules of the queue look at.
struct Found {
    state: Option<State>,
    picked: bool,
    id: i64,
    attempts: Option<i32>,
    kind: Option<Kind>,
    /// Another job of the same agent and kind, which goes first.
    twin: Option<(i64, State)>,
    /// A dead or paused job of its prefix that comes before it.
    behind: Option<i64>,
}

/// Why jobs do not go back into the queue.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("this database role may not approve deletions")]
    MayNotApprove(#[source] Error),
    #[error(transparent)]
    Query(#[from] Error),
}

/// The constraint that `provisioning.replay` names where it refuses.
const APPROVAL: &str = "approval";

/// A job that is queued at the very moment of a replay can cost the statement; rarely twice.
const TRIES: u32 = 5;

/// Queues dead or paused jobs again, all in one statement, in the places they had. Pending ones are due now.
///
/// Only those: they hold up what comes after them in their prefix, so the order is kept. After
/// a cancelled job others may have run, except where it keeps the tables of an agent that is gone. A paused deletion
/// is approved by this, and passes the deletion limit. Only the owner of the schema may do that, and take a cancelled
/// deletion up again.
pub(crate) async fn replay(
    client: &Client,
    target: &Target,
    by: &By,
) -> Result<Vec<JobResult>, ReplayError> {
    let (ids, prefix, states) = match target {
        Target::Ids(ids) => (Some(ids), None, vec!["dead", "paused", "pending"]),
        Target::Prefix(prefix) => (None, Some(prefix), vec!["dead"]),
        Target::AllDead => (None, None, vec!["dead"]),
        Target::Paused(ids) => (Some(ids), None, vec!["paused"]),
        Target::AllPaused => (None, None, vec!["paused"]),
        Target::Found(ids, states) => {
            (Some(ids), None, states.iter().map(|state| state.as_str()).collect())
        }
    };
    let named = !matches!(target, Target::Found(..));
    let mut tries = 1;
    let rows = loop {
        let replayed = client
            .query_typed(
                "select * from provisioning.replay($1, $2, $3, $4, $5, $6, $7)",
                &[
                    (&ids, Type::INT8_ARRAY),
                    (&prefix, Type::TEXT),
                    (&states, Type::TEXT_ARRAY),
                    (&by.reason, Type::TEXT),
                    (&by.who, Type::TEXT),
                    (&by.dry_run, Type::BOOL),
                    (&named, Type::BOOL),
                ],
            )
            .await;
        match replayed {
            // A twin was queued between the statement's look and its update; now it is seen.
            // What a filter has found changes within a transaction, which is over then.
            Err(error)
                if error.code() == Some(&SqlState::UNIQUE_VIOLATION) && named && tries < TRIES =>
            {
                tries += 1;
            }
            Err(error) if is_approval(&error) => return Err(ReplayError::MayNotApprove(error)),
            replayed => break replayed?,
        }
    };
    let why_not = match target {
        Target::Paused(_) | Target::AllPaused => why_not_approved,
        Target::Ids(_) | Target::Prefix(_) | Target::AllDead | Target::Found(..) => {
            why_not_replayed
        }
    };
    let why_not = |found: &Found, state: State| {
        if let Target::Found(_, states) = target
            && !states.contains(&state)
        {
            return (ResultKind::Skipped, format!("it is {}", state.as_str()));
        }
        why_not(found, state)
    };
    let answers = rows.iter().map(|row| JobResult::read(row, by.dry_run, why_not));
    let mut answers = answers.collect::<Result<Vec<_>, _>>()?;
    name_holders(client, &mut answers).await?;
    Ok(answers)
}

/// Of a job whose row another session has locked, says which one, unless that is a worker.
async fn name_holders(client: &Client, answers: &mut [JobResult]) -> Result<(), Error> {
    if answers.iter().all(|answer| !answer.is_held) {
        return Ok(());
    }
    let holders = visible_lock_holders(client).await?;
    for answer in answers.iter_mut().filter(|answer| answer.is_held) {
        let of_row = |holder: &&LockHolder| {
            holder.relation.is_some() && holder.prefix == answer.agent_prefix
        };
        if let Some(holder) = holders.iter().find(of_row) {
            answer.reason =
                Some(format!("it is held by {holder}; to end that: {}", holder.way_out));
        }
    }
    Ok(())
}

fn is_approval(error: &Error) -> bool {
    error.as_db_error().is_some_and(|db| db.constraint() == Some(APPROVAL))
}

/// Takes pending, dead and paused jobs out of the queue for good. Of a deletion whose first part is done the answer
/// says how the agent becomes whole again.
pub(crate) async fn cancel(client: &Client, ids: &[i64], by: &By) -> Result<Vec<JobResult>, Error> {
    let rows = client
        .query_typed(
            "select *, null::bigint as twin, null::text as twin_state, null::bigint as behind \
             from provisioning.cancel($1, $2, $3, $4)",
            &[
                (&ids, Type::INT8_ARRAY),
                (&by.reason, Type::TEXT),
                (&by.who, Type::TEXT),
                (&by.dry_run, Type::BOOL),
            ],
        )
        .await?;
    let answers = rows.iter().map(|row| JobResult::read(row, by.dry_run, why_not_cancelled));
    let mut answers: Vec<JobResult> = answers.collect::<Result<_, _>>()?;
    name_holders(client, &mut answers).await?;
    let begun = include_str!("../../../sql/queue/admin/replay_begun.sql");
    for row in client.query_typed(begun, &[(&ids, Type::INT8_ARRAY)]).await? {
        let id: i64 = row.try_get("id")?;
        let stays =
            |answer: &&mut JobResult| answer.id == id && answer.result != ResultKind::Skipped;
        if let Some(answer) = answers.iter_mut().find(stays) {
            answer.next = answer.agent_prefix.as_deref().map(give_keys_back);
        }
    }
    Ok(answers)
}

/// What a person is told of a deletion that stopped after its first part.
pub(crate) fn give_keys_back(prefix: &str) -> String {
    format!(
        "It has taken foreign keys off the agent's tables. If the agent is to stay: \
         agent-provisioner agents repair {prefix}"
    )
}

fn why_not_replayed(found: &Found, state: State) -> (ResultKind, String) {
    let skipped = |reason: String| (ResultKind::Skipped, reason);
    let id = found.id;
    if let (State::Pending, Some(earlier)) = (state, found.behind) {
        return skipped(format!(
            "it waits for job {earlier} of the same prefix, which is dead or paused: jobs show {earlier}"
        ));
    }
    match (state, found.twin) {
        (State::Pending | State::Running, _) => {
            (ResultKind::Unchanged, "it is pending, and a worker is on it just now".to_owned())
        }
        (State::Succeeded, _) => skipped("it has succeeded".to_owned()),
        (State::Cancelled, _) => {
            skipped("it was cancelled, and later jobs of its prefix may have run since".to_owned())
        }
        (State::Dead, Some((twin, State::Dead))) => {
            skipped(format!("job {twin}, of the same agent and kind, is dead too and goes first"))
        }
        (State::Dead, Some((twin, _))) => {
            let waits = twin > id && found.kind != Some(Kind::Deprovision);
            let way_out = if waits {
                format!(", and waits for this one: cancel {id}")
            } else {
                String::new()
            };
            skipped(format!("job {twin}, of the same agent and kind, is pending{way_out}"))
        }
        (State::Dead, None) => skipped("another session holds it just now".to_owned()),
        (State::Paused, _) => skipped(why_still_paused(found)),
    }
}

fn why_still_paused(found: &Found) -> String {
    let id = found.id;
    format!(
        "a move of the agent is not finished, or another session holds it just now; see: jobs show {id}"
    )
}

fn why_not_approved(found: &Found, state: State) -> (ResultKind, String) {
    match state {
        State::Dead => (
            ResultKind::Skipped,
            format!("it is dead and not paused; to try it again: jobs replay {}", found.id),
        ),
        State::Running | State::Pending => {
            (ResultKind::Unchanged, "it is pending already".to_owned())
        }
        State::Paused | State::Succeeded => why_not_replayed(found, state),
        State::Cancelled => (
            ResultKind::Skipped,
            format!(
                "it was cancelled; while the agent's row is gone and its tables are there: jobs replay {}",
                found.id
            ),
        ),
    }
}

fn why_not_cancelled(found: &Found, state: State) -> (ResultKind, String) {
    match state {
        State::Cancelled => (ResultKind::Unchanged, "it is cancelled already".to_owned()),
        State::Succeeded => (ResultKind::Skipped, "it has succeeded".to_owned()),
        State::Running | State::Pending | State::Dead => {
            (ResultKind::Skipped, "a worker has it just now".to_owned())
        }
        State::Paused => (ResultKind::Skipped, why_still_paused(found)),
    }
}

impl JobResult {
    fn read(
        row: &Row,
        dry_run: bool,
        why_not: impl Fn(&Found, State) -> (ResultKind, String),
    ) -> Result<Self, Error> {
        let state: Option<&str> = row.try_get("state")?;
        let twin: Option<i64> = row.try_get("twin")?;
        let twin_state: Option<&str> = row.try_get("twin_state")?;
        let found = Found {
            state: state.map(State::parse),
            picked: row.try_get("picked")?,
            id: row.try_get("id")?,
            attempts: row.try_get("attempts")?,
            kind: row.try_get("kind")?,
            twin: twin.zip(twin_state.map(State::parse)),
            behind: row.try_get("behind")?,
        };
        let (result, reason) = match found.state {
            None => (ResultKind::Missing, Some("there is no such job".to_owned())),
            Some(_) if found.picked && dry_run => (ResultKind::DryRun, None),
            Some(_) if found.picked => (ResultKind::Done, None),
            Some(state) => {
                let (verdict, reason) = why_not(&found, state);
                (verdict, Some(reason))
            }
        };
        Ok(Self {
            id: found.id,
            kind: found.kind,
            agent_prefix: row.try_get("agent_prefix")?,
            result,
            reason,
            was: found.state.zip(found.attempts).map(|(state, attempts)| Was { state, attempts }),
            is_held: !found.picked
                && found.twin.is_none()
                && found.behind.is_none()
                && matches!(
                    found.state,
                    Some(State::Pending | State::Running | State::Dead | State::Paused)
                ),
            next: None,
            end: None,
        })
    }
}
