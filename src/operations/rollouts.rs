//! Upgrades of many agents, queued little by little while those before them end.
//!
//! A rollout lives in the database, and the service goes on with it. Whoever follows it only looks.

use std::time::Instant;

use schemars::JsonSchema;
use serde::Serialize;
use tokio_postgres::Client;

use super::actor::Actor;
use super::error::Error;
use super::wait::{FIRST_PAUSE, LONGEST_PAUSE, Progress, SOON, STALLED, is_away, reconnect};
use crate::postgres::query;
use crate::queue::admin::{self, End, Followed, NewRollout, StartResult};
use crate::service::Instance;

pub(crate) use crate::queue::admin::{RolloutState, RolloutView};

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RolloutLimits {
    /// So many before all others; one that fails stops everything.
    pub canaries: i32,
    /// So many failures stop everything.
    pub max_failures: Option<i32>,
    /// Jobs in the queue.
    pub at_a_time: Option<i32>,
}

impl RolloutLimits {
    /// A limit to failures is worth little when everything is in the queue already: without another number a hundred jobs are.
    pub(crate) fn new(
        canaries: Option<i32>,
        max_failures: Option<i32>,
        at_a_time: Option<i32>,
    ) -> Self {
        let at_a_time = at_a_time.or(max_failures.map(|_| 100));
        Self { canaries: canaries.unwrap_or(0), max_failures, at_a_time }
    }
}

#[derive(Debug, Default, JsonSchema, Serialize)]
pub(crate) struct RolloutSummary {
    pub succeeded: usize,
    /// Those that did not.
    pub failed: Vec<Followed>,
    /// Jobs that were taken back.
    pub cancelled: usize,
    /// The number of failures after which it was stopped.
    pub stopped_after: Option<usize>,
    /// Agents that nothing was queued for.
    pub left: usize,
}

impl RolloutSummary {
    /// Of jobs that were followed to their ends all at once.
    pub(crate) fn of(ended: Vec<Followed>) -> Self {
        let with = |end| ended.iter().filter(|job| job.end == Some(end)).count();
        let (succeeded, cancelled) = (with(End::Succeeded), with(End::Cancelled));
        let bad =
            |job: &Followed| matches!(job.end, Some(End::Dead | End::Paused | End::Blocked) | None);
        let failed = ended.into_iter().filter(bad).collect();
        Self { succeeded, failed, cancelled, ..Self::default() }
    }

    fn of_rollout(rollout: &RolloutView, failed: Vec<Followed>) -> Self {
        let count = |agents: i64| usize::try_from(agents).unwrap_or_default();
        Self {
            succeeded: count(rollout.succeeded),
            failed,
            cancelled: count(rollout.cancelled),
            stopped_after: rollout.stopped_after.map(|after| count(after.into())),
            left: count(rollout.waiting),
        }
    }

    /// Whether all was done that was asked for.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed.is_empty()
            && self.cancelled == 0
            && self.left == 0
            && self.stopped_after.is_none()
    }
}

/// A rollout that does what was asked for.
#[derive(Clone, Copy, Debug, JsonSchema, Serialize)]
pub(crate) struct Started {
    pub id: i64,
    /// It was under way already.
    pub joined: bool,
}

/// The latest first, at most so many.
pub(crate) async fn list(instance: &Instance, most: i64) -> Result<Vec<RolloutView>, Error> {
    let client = instance.current().await?;
    Ok(admin::rollouts(&client, None, most).await.map_err(query("list the rollouts"))?)
}

/// A rollout by its number.
pub(crate) async fn find(instance: &Instance, id: i64) -> Result<RolloutView, Error> {
    let client = instance.current().await?;
    let found =
        admin::rollouts(&client, Some(id), 1).await.map_err(query("look at the rollout"))?;
    found.into_iter().next().ok_or(Error::NoRollout(id))
}

/// The jobs of a rollout that have failed.
pub(crate) async fn failures(instance: &Instance, id: i64) -> Result<Vec<Followed>, Error> {
    let client = instance.current().await?;
    let failed = admin::rollout_failures(&client, id).await;
    Ok(failed.map_err(query("look at the rollout's failures"))?)
}

/// Starts a rollout. Where one that does the same is under way, that one is it.
pub(super) async fn start(client: &Client, new: &NewRollout<'_>) -> Result<Started, Error> {
    let started = admin::start_rollout(client, new).await.map_err(query("start the rollout"))?;
    let joined = match started.result {
        StartResult::Started => false,
        StartResult::Joined => true,
        StartResult::Refused => {
            return Err(Error::RolloutOpen { id: started.id, state: started.state });
        }
    };
    Ok(Started { id: started.id, joined })
}

/// What became of a rollout that was to be paused, resumed or aborted.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Report {
    pub id: i64,
    pub state: String,
    /// Whether it was anything else before.
    pub changed: bool,
    /// Jobs that were taken back.
    pub taken_back: i64,
}

/// Pauses, resumes or aborts a rollout, for a reason. `None`: the one that is open.
pub(crate) async fn change(
    actor: &Actor,
    instance: &Instance,
    id: Option<i64>,
    wanted: RolloutState,
    reason: Option<&str>,
) -> Result<Report, Error> {
    let client = actor.client(instance).await?;
    let id = match id {
        Some(id) => id,
        None => open(&client).await?.ok_or(Error::NoOpenRollout)?.id,
    };
    let changed = admin::change_rollout(&client, id, wanted, reason, actor.name()).await;
    let changed = changed.map_err(query("change the rollout"))?.ok_or(Error::NoRollout(id))?;
    let admin::RolloutChange { state, changed, taken_back } = changed;
    // One without agents that wait ends at once.
    if !changed && state != wanted.as_str() {
        return Err(Error::RolloutOver { id, state });
    }
    Ok(Report { id, state, changed, taken_back })
}

/// The one that has not ended.
async fn open(client: &Client) -> Result<Option<RolloutView>, Error> {
    let latest = admin::rollouts(client, None, 1).await.map_err(query("look for a rollout"))?;
    Ok(latest.into_iter().find(|rollout| !rollout.has_ended()))
}

/// Refuses where a rollout is still to come to some of these agents.
pub(super) async fn require_none(client: &Client, agents: &[i64]) -> Result<(), Error> {
    let Some(open) = open(client).await? else { return Ok(()) };
    let has = admin::rollout_has(client, open.id, agents).await;
    if has.map_err(query("look for a rollout"))? {
        return Err(Error::RolloutOpen { id: open.id, state: open.state });
    }
    Ok(())
}

/// Looks until a rollout has ended. One that is paused meanwhile is waited for.
pub(crate) async fn follow(
    instance: &Instance,
    id: i64,
    mut tell: impl FnMut(Progress),
) -> Result<RolloutSummary, Error> {
    let mut client = instance.current().await?;
    let mut follower = Follower::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let looked = Instant::now();
        let rollout = match admin::rollouts(&client, Some(id), 1).await {
            Err(error) if is_away(&error) => {
                drop(client);
                client = reconnect(instance, &mut tell).await?;
                continue;
            }
            rollouts => rollouts.map_err(query("look at the rollout"))?.pop(),
        };
        let rollout = rollout.ok_or(Error::NoRollout(id))?;
        let moved = follower.look(&rollout, &mut tell);
        if rollout.has_ended() {
            match admin::rollout_failures(&client, id).await {
                Err(error) if is_away(&error) => {
                    client = reconnect(instance, &mut tell).await?;
                    continue;
                }
                failed => {
                    let failed = failed.map_err(query("look at the rollout's failures"))?;
                    return Ok(RolloutSummary::of_rollout(&rollout, failed));
                }
            }
        }
        pause = if moved { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        // A look at thousands of jobs must not keep the server from doing them.
        tokio::time::sleep(pause.max(looked.elapsed() * 16).min(LONGEST_PAUSE * 5)).await;
    }
}

/// What whoever follows a rollout was told so far.
struct Follower {
    ended: usize,
    moved: Instant,
    told: Told,
}

/// Since the last move.
#[derive(Debug, Default)]
struct Told {
    no_worker: bool,
    disk_full: bool,
    paused: bool,
}

impl Follower {
    fn new() -> Self {
        Self { ended: usize::MAX, moved: Instant::now(), told: Told::default() }
    }

    /// Whether anything has moved.
    fn look(&mut self, rollout: &RolloutView, tell: &mut impl FnMut(Progress)) -> bool {
        let count = |agents: i64| usize::try_from(agents).unwrap_or_default();
        let (agents, disk_full) = (count(rollout.agents), count(rollout.disk_full));
        let over = rollout.has_ended();
        let ended = agents.saturating_sub(count(rollout.queued + rollout.waiting));
        let moved = ended != self.ended;
        if moved || over {
            let told = Told { disk_full: self.told.disk_full, ..Told::default() };
            *self = Self { ended, moved: Instant::now(), told };
            tell(Progress::Ended { ended, of: agents, dead: count(rollout.failed) });
        }
        let is_paused = rollout.state == "paused";
        if is_paused && !self.told.paused {
            tell(Progress::Paused { rollout: rollout.id });
        }
        self.told.paused = is_paused;
        if disk_full > 0 && !self.told.disk_full {
            tell(Progress::DiskFull { jobs: disk_full });
        }
        self.told.disk_full = disk_full > 0;
        if rollout.untaken > 0 && !self.told.no_worker && self.moved.elapsed() >= SOON {
            self.told.no_worker = true;
            tell(Progress::NoWorker { jobs: count(rollout.untaken) });
        }
        if !is_paused && self.moved.elapsed() > STALLED {
            self.moved = Instant::now();
            tell(match disk_full {
                0 => Progress::Stalled,
                jobs => Progress::DiskFull { jobs },
            });
        }
        moved
    }
}
