//! Jobs for many agents, queued little by little while those before them end.
//!
//! Nothing of this is written down anywhere but in the queue: when this program is killed, workers
//! finish what is queued, and the same command goes on with the agents that are left.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use schemars::JsonSchema;
use serde::Serialize;

use super::actor::Actor;
use super::error::Error;
use super::jobs::{Request, cancel_on};
use super::wait::{
    FIRST_PAUSE, LONGEST_PAUSE, Progress, PutOff, STALLED, WorkerWatch, is_away, reconnect,
};
use crate::postgres::query;
use crate::queue::Work;
use crate::queue::admin::{self, End, Followed};
use crate::service::Instance;

#[derive(Clone, Copy, Debug)]
pub(crate) struct RolloutLimits {
    /// So many before all others; one that fails stops everything.
    pub canaries: usize,
    /// So many failures stop everything.
    pub max_failures: usize,
    /// Jobs in the queue.
    pub at_a_time: usize,
}

impl RolloutLimits {
    /// All at once, whatever fails.
    pub(super) const NONE: Self =
        Self { canaries: 0, max_failures: usize::MAX, at_a_time: usize::MAX };
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

    /// Whether all was done that was asked for.
    pub(crate) fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.cancelled == 0 && self.stopped_after.is_none()
    }
}

/// Queues a job for each of these agents within the limits, and follows all of them to their ends.
pub(super) async fn roll_out(
    actor: &Actor,
    instance: &Instance,
    work: Work,
    agents: &[i64],
    limits: RolloutLimits,
    tell: impl FnMut(Progress),
) -> Result<RolloutSummary, Error> {
    let client = actor.client(instance).await?;
    Rollout::new(client, instance, actor, work, agents.to_vec(), tell).run(limits).await
}

struct Rollout<'a, T> {
    client: Object,
    instance: &'a Instance,
    actor: &'a Actor,
    work: Work,
    agents: usize,
    /// Agents without a job yet.
    waiting: VecDeque<i64>,
    /// Jobs that have not ended.
    open: Vec<i64>,
    summary: RolloutSummary,
    moved: Instant,
    workers: WorkerWatch,
    put_off: PutOff,
    tell: T,
}

impl<'a, T: FnMut(Progress)> Rollout<'a, T> {
    fn new(
        client: Object,
        instance: &'a Instance,
        actor: &'a Actor,
        work: Work,
        agents: Vec<i64>,
        tell: T,
    ) -> Self {
        Self {
            client,
            instance,
            actor,
            work,
            agents: agents.len(),
            waiting: agents.into(),
            open: Vec::new(),
            summary: RolloutSummary::default(),
            moved: Instant::now(),
            workers: WorkerWatch::new(),
            put_off: PutOff::default(),
            tell,
        }
    }

    /// Follows every job to its end. When it is to stop, what no worker is on is cancelled.
    async fn run(mut self, limits: RolloutLimits) -> Result<RolloutSummary, Error> {
        let rest = self.waiting.split_off(limits.canaries.min(self.waiting.len()));
        self.feed_and_follow(1, limits.at_a_time, rest.len()).await?;
        self.waiting.extend(rest);
        if self.summary.stopped_after.is_none() {
            self.feed_and_follow(limits.max_failures, limits.at_a_time, 0).await?;
        }
        self.summary.left = self.waiting.len();
        self.show(0);
        Ok(self.summary)
    }

    async fn feed_and_follow(
        &mut self,
        max_failures: usize,
        at_a_time: usize,
        later: usize,
    ) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        let stopped = |summary: &RolloutSummary| summary.stopped_after.is_some();
        while !self.open.is_empty() || (!stopped(&self.summary) && !self.waiting.is_empty()) {
            if !stopped(&self.summary) {
                self.feed(at_a_time).await?;
            }
            let looked = Instant::now();
            let ended = self.look().await?;
            pause = if ended { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            if ended {
                self.show(later);
            } else if self.moved.elapsed() > STALLED {
                self.moved = Instant::now();
                self.put_off.stalled(&mut self.tell);
            }
            self.workers.look(&self.client, &self.open, &mut self.tell).await?;
            if self.summary.failed.len() >= max_failures && !stopped(&self.summary) {
                self.stop().await?;
            }
            // A look at thousands of jobs must not keep the server from doing them.
            let pause = pause.max(looked.elapsed() * 16);
            if !self.open.is_empty() {
                tokio::time::sleep(pause.min(Duration::from_secs(5))).await;
            }
        }
        Ok(())
    }

    async fn feed(&mut self, at_a_time: usize) -> Result<(), Error> {
        let room = at_a_time.saturating_sub(self.open.len()).min(self.waiting.len());
        if room > 0 {
            let agents: Vec<i64> = self.waiting.iter().take(room).copied().collect();
            // Of jobs that were queued before the connection broke, it gives the ids.
            match admin::enqueue(&self.client, self.work, &agents, self.actor.name()).await {
                Err(error) if is_away(&error) => return self.reconnect().await,
                jobs => self.open.extend(jobs.map_err(query("queue the jobs"))?),
            }
            self.waiting.drain(..room);
        }
        Ok(())
    }

    async fn reconnect(&mut self) -> Result<(), Error> {
        self.client = reconnect(self.instance, &mut self.tell).await?;
        Ok(())
    }

    /// Looks once at the open jobs; whether any has ended.
    async fn look(&mut self) -> Result<bool, Error> {
        let before = self.open.len();
        let jobs = match admin::follow(&self.client, &self.open).await {
            Err(error) if is_away(&error) => return self.reconnect().await.map(|()| false),
            jobs => jobs.map_err(query("follow the jobs"))?,
        };
        self.put_off.look(&jobs, &mut self.tell);
        self.open.clear();
        for job in jobs {
            match job.end {
                None => self.open.push(job.id),
                Some(End::Succeeded) => self.summary.succeeded += 1,
                Some(End::Cancelled) => self.summary.cancelled += 1,
                Some(End::Dead | End::Paused | End::Blocked) => self.summary.failed.push(job),
            }
        }
        Ok(self.open.len() < before)
    }

    /// Queues nothing more and takes back what no worker is on.
    async fn stop(&mut self) -> Result<(), Error> {
        let failures = self.summary.failed.len();
        let reason = Some(format!("the rollout stopped at {failures} failed jobs"));
        let request = Request { reason, dry_run: false };
        cancel_on(&self.client, self.actor, &self.open, request).await?;
        self.summary.stopped_after = Some(failures);
        Ok(())
    }

    fn show(&mut self, later: usize) {
        self.moved = Instant::now();
        self.workers.moved();
        let undone = self.waiting.len() + self.open.len() + later;
        let ended = self.agents.saturating_sub(undone);
        let dead = self.summary.failed.len();
        (self.tell)(Progress::Ended { ended, of: self.agents, dead });
    }
}
