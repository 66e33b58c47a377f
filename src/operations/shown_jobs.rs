//! Doing to jobs exactly what a page has shown: one that has changed since is skipped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::actor::Actor;
use super::error::Error;
use super::jobs::{Change, Filter, JobResult, Request, ResultKind, State, apply, with};
use crate::postgres::{self, query};
use crate::queue::admin::{self, Was};
use crate::service::Instance;

/// Of more jobs all are done or none: a form has no room for what was shown of each.
const MOST_EACH: usize = 2000;

/// Each try leaves out what has changed, and a worker may change more meanwhile.
const TRIES: u32 = 5;

/// What a page has shown of jobs.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Each(BTreeMap<i64, Was>),
    /// How many there were, and a hash of them.
    All(usize, String),
}

impl Shown {
    /// Those that it came to this for.
    fn of(answers: &[JobResult], kind: ResultKind) -> Self {
        let jobs = || with(answers, kind).filter_map(|answer| Some((answer.id, answer.was?)));
        if with(answers, kind).count() <= MOST_EACH {
            return Self::Each(jobs().collect());
        }
        let mut hash = Sha256::new();
        for (id, was) in jobs() {
            hash.update(id.to_be_bytes());
            hash.update(was.attempts.to_be_bytes());
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
                let job = |(id, was): (&i64, &Was)| {
                    format!("{id}.{}.{}", was.state.as_str(), was.attempts)
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
            Some((id, Was { state, attempts: parts.next()?.parse().ok()? }))
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

/// What a form is to carry of a preview, for [`carry_out`].
pub(crate) fn shown(previewed: &[JobResult]) -> String {
    Shown::of(previewed, ResultKind::DryRun).encode()
}

/// Does to jobs of these states what was [`shown`]. One that has changed since is skipped, and its answer says so. Of very
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
    shown: &BTreeMap<i64, Was>,
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    if shown.values().any(|was| !filter.states.contains(&was.state)) {
        return Err(Error::Changed { shown: shown.len(), left: 0 });
    }
    let mut client = actor.client(instance).await?;
    let mut changed: BTreeMap<i64, JobResult> = BTreeMap::new();
    for _ in 0..TRIES {
        let tx = postgres::begin(&mut client).await.map_err(query("begin a transaction"))?;
        let ids = shown.keys().copied().filter(|id| !changed.contains_key(id)).collect();
        let mut answers = apply(tx.client(), actor, change, ids, filter, request.clone()).await?;
        let differs = |answer: &&JobResult| shown.get(&answer.id).copied() != answer.was;
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
fn skip(mut answer: JobResult, shown: &BTreeMap<i64, Was>) -> JobResult {
    let said = |was: Option<&Was>| {
        was.map_or_else(String::new, |was| {
            format!("{} after {} failed attempts", was.state.as_str(), was.attempts)
        })
    };
    let (then, now) = (said(shown.get(&answer.id)), said(answer.was.as_ref()));
    let reason = format!("it has changed since it was shown: it was {then}, and is {now}");
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
    if Shown::of(&answers, ResultKind::Done) != *shown {
        tx.rollback().await.map_err(query("take it back"))?;
        let left = with(&answers, ResultKind::Done).count();
        return Err(Error::Changed { shown: shown.number(), left });
    }
    tx.commit().await.map_err(query("commit"))?;
    Ok(answers)
}
