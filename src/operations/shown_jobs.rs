//! Doing to jobs exactly what a page has shown: one that has changed since is skipped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::error::Error;
use super::jobs::{self, Change, Filter, JobResult, Request, ResultKind, State, apply, with};
use crate::postgres::{self, query};
use crate::queue::admin::{self, Was};
use crate::service::Instance;

/// Of more jobs all are done or none: a form has no room for what was shown of each.
const MOST_EACH: usize = 2000;

/// Each try leaves out what has changed, and a worker may change more meanwhile.
const TRIES: u32 = 5;

/// How a job was when it was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    was: Was,
    /// Attempts at it in all. That number never falls, where the one of failed attempts begins anew with a replay.
    tries: i32,
}

/// What a page has shown of jobs.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Each(BTreeMap<i64, Seen>),
    /// How many there were, and a hash of them.
    All(usize, String),
}

impl Shown {
    /// Those that it came to this for.
    fn of(answers: &[JobResult], kind: ResultKind, tries: &BTreeMap<i64, i32>) -> Self {
        let seen = |answer: &JobResult| {
            let tries = tries.get(&answer.id).copied().unwrap_or_default();
            Some((answer.id, Seen { was: answer.was?, tries }))
        };
        let jobs = || with(answers, kind).filter_map(seen);
        if with(answers, kind).count() <= MOST_EACH {
            return Self::Each(jobs().collect());
        }
        let mut hash = Sha256::new();
        for (id, Seen { was, tries }) in jobs() {
            hash.update(id.to_be_bytes());
            hash.update(was.attempts.to_be_bytes());
            hash.update(tries.to_be_bytes());
            hash.update(was.state.as_str());
        }
        let hex = hash.finalize().iter().take(16).fold(String::new(), |mut text, byte| {
            let _whole = write!(text, "{byte:02x}");
            text
        });
        Self::All(jobs().count(), hex)
    }

    /// As a form carries it.
    fn encode(&self) -> String {
        match self {
            Self::Each(jobs) => {
                let job = |(id, Seen { was, tries }): (&i64, &Seen)| {
                    format!("{id}.{}.{}.{tries}", was.state.as_str(), was.attempts)
                };
                jobs.iter().map(job).collect::<Vec<_>>().join(" ")
            }
            Self::All(number, hash) => format!("all-{number}-{hash}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        if let Some(all) = text.strip_prefix("all-") {
            let (number, hash) = all.split_once('-')?;
            return Some(Self::All(number.parse().ok()?, hash.to_owned()));
        }
        let job = |text: &str| {
            let mut parts = text.split('.');
            let id = parts.next()?.parse().ok()?;
            let state = parts.next()?;
            let state = State::ALL.into_iter().find(|known| known.as_str() == state)?;
            let was = Was { state, attempts: parts.next()?.parse().ok()? };
            Some((id, Seen { was, tries: parts.next()?.parse().ok()? }))
        };
        text.split_whitespace().map(job).collect::<Option<_>>().map(Self::Each)
    }

    fn number(&self) -> usize {
        match self {
            Self::Each(jobs) => jobs.len(),
            Self::All(number, _) => *number,
        }
    }
}

/// What would become of the jobs that a filter finds, and what a form is to carry of that, for [`carry_out`].
pub(crate) async fn preview(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
) -> Result<(Vec<JobResult>, String), Error> {
    let answers = jobs::preview(actor, instance, change, filter).await?;
    let client = actor.client(instance).await?;
    let tries = tries(&client, &answers).await?;
    let shown = Shown::of(&answers, ResultKind::DryRun, &tries).encode();
    Ok((answers, shown))
}

/// How many attempts there were at each job.
async fn tries(client: &Client, answers: &[JobResult]) -> Result<BTreeMap<i64, i32>, Error> {
    let ids: Vec<i64> = answers.iter().map(|answer| answer.id).collect();
    let sql = "select a.job, max(a.number) from provisioning.attempts a \
               where a.job = any ($1) group by a.job";
    let rows = client.query_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await;
    let rows = rows.map_err(query("look for the jobs' attempts"))?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The jobs that a form carries as shown; of very many it carries none.
pub(crate) fn carried(shown: &str) -> Option<Vec<i64>> {
    match Shown::parse(shown)? {
        Shown::Each(jobs) => Some(jobs.into_keys().collect()),
        Shown::All(..) => None,
    }
}

/// Does to jobs of these states what a form says was shown. One that has changed since is skipped, and its answer says so. Of very
/// many jobs all that the filter finds are done, or none where one has changed.
pub(crate) async fn carry_out(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
    shown: &str,
    reason: String,
) -> Result<Vec<JobResult>, Error> {
    let nothing = || Error::Changed { shown: 0, left: 0 };
    let shown = Shown::parse(shown).ok_or_else(nothing)?;
    let request = Request { reason: Some(reason), dry_run: false };
    match &shown {
        Shown::Each(jobs) => each(actor, instance, change, filter, jobs, request).await,
        Shown::All(..) => all(actor, instance, change, filter, &shown, request).await,
    }
}

async fn each(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
    shown: &BTreeMap<i64, Seen>,
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    if shown.values().any(|seen| !filter.states.contains(&seen.was.state)) {
        return Err(Error::Changed { shown: shown.len(), left: 0 });
    }
    let mut client = actor.client(instance).await?;
    let mut changed: BTreeMap<i64, JobResult> = BTreeMap::new();
    for _ in 0..TRIES {
        let tx = postgres::begin(&mut client).await.map_err(query("begin a transaction"))?;
        let ids = shown.keys().copied().filter(|id| !changed.contains_key(id)).collect();
        let mut answers = apply(tx.client(), actor, change, ids, filter, request.clone()).await?;
        // The jobs that it was done to are locked by now: nobody else tries them.
        let tries = tries(tx.client(), &answers).await?;
        let now = |answer: &JobResult| {
            let tries = tries.get(&answer.id).copied().unwrap_or_default();
            answer.was.map(|was| Seen { was, tries })
        };
        let differs = |answer: &&JobResult| shown.get(&answer.id).copied() != now(answer);
        let differing: Vec<_> = with(&answers, ResultKind::Done).filter(differs).cloned().collect();
        if differing.is_empty() {
            tx.commit().await.map_err(query("commit"))?;
            answers.extend(changed.into_values());
            answers.sort_by_key(|answer| answer.id);
            return Ok(answers);
        }
        tx.rollback().await.map_err(query("take it back"))?;
        let skipped = |answer: JobResult| (answer.id, skip(answer, shown));
        changed.extend(differing.into_iter().map(skipped));
    }
    Err(Error::Changed { shown: shown.len(), left: shown.len().saturating_sub(changed.len()) })
}

/// The answer for a job that has changed.
fn skip(mut answer: JobResult, shown: &BTreeMap<i64, Seen>) -> JobResult {
    let said = |was: Option<&Was>| {
        was.map_or_else(String::new, |was| {
            format!("{} after {} failed attempts", was.state.as_str(), was.attempts)
        })
    };
    let then = said(shown.get(&answer.id).map(|seen| &seen.was));
    let now = said(answer.was.as_ref());
    let reason = if then == now {
        format!("it was tried again since it was shown, and is {now} again")
    } else {
        format!("it has changed since it was shown: it was {then}, and is {now}")
    };
    (answer.result, answer.reason, answer.next) = (ResultKind::Skipped, Some(reason), None);
    answer
}

async fn all(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
    shown: &Shown,
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    let mut client = actor.client(instance).await?;
    let tx = postgres::begin(&mut client).await.map_err(query("begin a transaction"))?;
    let ids = admin::ids(tx.client(), filter).await.map_err(query("look for the jobs"))?;
    let answers = apply(tx.client(), actor, change, ids, filter, request).await?;
    let tries = tries(tx.client(), &answers).await?;
    if Shown::of(&answers, ResultKind::Done, &tries) != *shown {
        tx.rollback().await.map_err(query("take it back"))?;
        let left = with(&answers, ResultKind::Done).count();
        return Err(Error::Changed { shown: shown.number(), left });
    }
    tx.commit().await.map_err(query("commit"))?;
    Ok(answers)
}
