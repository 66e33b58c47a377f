//! Jobs: seen, put back into the queue, given up and forgotten.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::actor::Actor;
use super::error::Error;
use super::wait::{self, Progress};
use crate::postgres::{self, query};
use crate::provisioning;
use crate::queue::admin::{self, By};
use crate::service::Instance;

pub(crate) use crate::queue::Kind;
pub(crate) use crate::queue::admin::{
    Attempt, Blocked, Cause, End, Filter, Followed, JobResult, JobView, ResultKind, Running, Sort,
    State, Target,
};

/// Jobs, and the prefixes that dead and paused ones block.
#[derive(Debug)]
pub(crate) struct Listed {
    /// In the filter's order.
    pub jobs: Vec<JobView>,
    /// How many there are without the limit, at most [`COUNTED`].
    pub total: i64,
    /// The dead and paused jobs that others wait for.
    pub blocked: Vec<Blocked>,
}

/// A job with all that is known of it.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Shown {
    #[serde(flatten)]
    pub job: JobView,
    /// How its attempts ended, the first one first.
    pub history: Vec<Attempt>,
    /// What to do next, with the commands to type.
    pub next: String,
}

/// Why something is asked for, and whether it is to happen at all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub reason: Option<String>,
    /// Change nothing, only say what would be done.
    pub dry_run: bool,
}

/// More jobs than this are not counted.
pub(crate) const COUNTED: i64 = 100_000;

pub(crate) async fn list(instance: &Instance, filter: &Filter) -> Result<Listed, Error> {
    let (jobs, total) = list_capped(instance, filter, COUNTED).await?;
    let client = instance.current().await?;
    let blocked = admin::blocked(&client, filter.prefix.as_deref()).await;
    Ok(Listed { jobs, total, blocked: blocked.map_err(query("look for blocked prefixes"))? })
}

/// The jobs, and how many there are without the limit, where at most so many are counted.
pub(crate) async fn list_capped(
    instance: &Instance,
    filter: &Filter,
    most: i64,
) -> Result<(Vec<JobView>, i64), Error> {
    let client = instance.current().await?;
    let jobs = admin::list(&client, filter).await.map_err(query("list the jobs"))?;
    let total = admin::count(&client, filter, most).await.map_err(query("count the jobs"))?;
    Ok((jobs, total))
}

/// The jobs alone.
pub(crate) async fn list_uncounted(
    instance: &Instance,
    filter: &Filter,
) -> Result<Vec<JobView>, Error> {
    let client = instance.current().await?;
    Ok(admin::list(&client, filter).await.map_err(query("list the jobs"))?)
}

pub(crate) async fn show(instance: &Instance, id: i64) -> Result<Shown, Error> {
    let client = instance.current().await?;
    let job = admin::find(&client, id).await.map_err(query("read the job"))?;
    let job = job.ok_or(Error::NoJob(id))?;
    let history = admin::attempts(&client, id).await.map_err(query("read the job's attempts"))?;
    let next = admin::next(&job, &provisioning::way_out(&client, &job).await?);
    Ok(Shown { job, history, next })
}

/// Puts jobs back into the queue, in the places they had. A paused deletion is approved by this.
pub(crate) async fn replay(
    actor: &Actor,
    instance: &Instance,
    target: &Target,
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    let client = actor.client(instance).await?;
    Ok(admin::replay(&client, target, &by(actor, request)).await?)
}

/// Follows the jobs that went back to their ends, and notes in each answer how its job ended.
pub(crate) async fn follow(
    instance: &Instance,
    answers: &mut [JobResult],
    tell: impl FnMut(Progress),
) -> Result<Vec<Followed>, Error> {
    let open =
        |answer: &&JobResult| matches!(answer.result, ResultKind::Done | ResultKind::Unchanged);
    let ids: Vec<i64> = answers.iter().filter(open).map(|answer| answer.id).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let followed = until_ended(instance, &ids, tell).await?;
    for answer in answers {
        // Both in the order of their ids.
        let found = followed.binary_search_by_key(&answer.id, |job| job.id).ok();
        answer.end = found.and_then(|index| followed.get(index)).and_then(|job| job.end);
    }
    Ok(followed)
}

/// Follows jobs to their ends.
pub(crate) async fn until_ended(
    instance: &Instance,
    ids: &[i64],
    tell: impl FnMut(Progress),
) -> Result<Vec<Followed>, Error> {
    wait::until_ended(instance, ids, tell).await
}

/// Whether any of these jobs came to an end that a person has to look at.
pub(crate) fn any_failed(followed: &[Followed]) -> bool {
    followed.iter().any(|job| matches!(job.end, Some(End::Dead | End::Paused | End::Blocked)))
}

/// Takes pending, dead and paused jobs out of the queue for good.
pub(crate) async fn cancel(
    actor: &Actor,
    instance: &Instance,
    ids: &[i64],
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    let client = actor.client(instance).await?;
    cancel_on(&client, actor, ids, request).await
}

/// The same on a connection that there is.
pub(super) async fn cancel_on(
    client: &Client,
    actor: &Actor,
    ids: &[i64],
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    let answers = admin::cancel(client, ids, &by(actor, request)).await;
    Ok(answers.map_err(query("cancel the jobs"))?)
}

/// What is to be done with the jobs that a filter finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// As [`replay`], but no deletion is confirmed.
    Replay,
    Cancel,
    /// Of paused deletions.
    Approve,
}

/// What would become of the jobs that a filter finds.
pub(crate) async fn preview(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
) -> Result<Vec<JobResult>, Error> {
    let client = actor.client(instance).await?;
    let ids = admin::ids(&client, filter).await.map_err(query("look for the jobs"))?;
    apply(&client, actor, change, ids, filter, Request { reason: None, dry_run: true }).await
}

/// Does to these jobs what [`preview`] has shown: to all of them, or to none.
pub(crate) async fn carry_out(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
    previewed: &[JobResult],
    reason: Option<String>,
) -> Result<Vec<JobResult>, Error> {
    let ids: Vec<i64> = with(previewed, ResultKind::DryRun).map(|answer| answer.id).collect();
    let shown = ids.len();
    let mut client = actor.client(instance).await?;
    let tx = postgres::begin(&mut client).await.map_err(query("begin a transaction"))?;
    let request = Request { reason, dry_run: false };
    let answers = apply(tx.client(), actor, change, ids, filter, request).await?;
    let left = with(&answers, ResultKind::Done).count();
    if left != shown {
        tx.rollback().await.map_err(query("take it back"))?;
        return Err(Error::Changed { shown, left });
    }
    tx.commit().await.map_err(query("commit"))?;
    Ok(answers)
}

/// Those that it came to this for.
pub(crate) fn with(answers: &[JobResult], kind: ResultKind) -> impl Iterator<Item = &JobResult> {
    answers.iter().filter(move |answer| answer.result == kind)
}

/// Does it, or says what would be done.
pub(super) async fn apply(
    client: &Client,
    actor: &Actor,
    change: Change,
    ids: Vec<i64>,
    filter: &Filter,
    request: Request,
) -> Result<Vec<JobResult>, Error> {
    match change {
        Change::Replay => {
            let target = Target::Found(ids, filter.states.clone());
            Ok(admin::replay(client, &target, &by(actor, request)).await?)
        }
        Change::Approve => {
            Ok(admin::replay(client, &Target::Paused(ids), &by(actor, request)).await?)
        }
        Change::Cancel => cancel_on(client, actor, &ids, request).await,
    }
}

/// How many old jobs were deleted, or would be.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Pruned {
    pub jobs: i64,
    pub dry_run: bool,
}

/// Deletes succeeded and cancelled jobs that ended longer ago than this, or counts them; their number.
pub(crate) async fn prune(
    actor: &Actor,
    instance: &Instance,
    older_than: Duration,
    dry_run: bool,
) -> Result<i64, Error> {
    let client = actor.client(instance).await?;
    Ok(admin::prune(&client, older_than, dry_run).await.map_err(query("prune the jobs"))?)
}

fn by(actor: &Actor, Request { reason, dry_run }: Request) -> By {
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    By { who: actor.name().map(ToOwned::to_owned), reason, dry_run }
}
