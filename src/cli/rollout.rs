//! Jobs for many agents, queued little by little while those before them end.
//!
//! Nothing of this is written down anywhere but in the queue: when this program is killed, workers
//! finish what is queued, and the same command goes on with the agents that are left.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use tokio_postgres::Client;

use super::job_text;
use super::wait::{FIRST_PAUSE, LONGEST_PAUSE, Meter, STALLED};
use super::{Error, failed};
use crate::jobs::desk::{self, By, End, Followed, Work};

/// How carefully.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// So many before all others; one that fails stops everything.
    pub(super) canaries: usize,
    /// So many failures stop everything.
    pub(super) max_failures: usize,
    /// Jobs in the queue.
    pub(super) at_a_time: usize,
}

pub(super) struct Rollout<'a> {
    client: &'a Client,
    work: Work<'a>,
    /// Agents without a job yet.
    waiting: VecDeque<i64>,
    /// Jobs that have not ended.
    open: Vec<i64>,
    toll: Toll,
    meter: Meter,
    moved: Instant,
    /// Said when nothing moves.
    stalled: &'a str,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Toll {
    succeeded: usize,
    failed: Vec<Followed>,
    cancelled: usize,
    /// Why it was stopped.
    stopped: Option<String>,
    /// Agents that nothing was queued for.
    left: usize,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(
        client: &'a Client,
        work: Work<'a>,
        agents: Vec<i64>,
        stalled: &'a str,
    ) -> Self {
        Self {
            client,
            work,
            meter: Meter::new(agents.len()),
            waiting: agents.into(),
            open: Vec::new(),
            toll: Toll::default(),
            moved: Instant::now(),
            stalled,
        }
    }

    /// Follows every job to its end. When it is to stop, what no worker is on is cancelled.
    pub(super) async fn run(mut self, pace: Pace) -> Result<Toll, Error> {
        let rest = self.waiting.split_off(pace.canaries.min(self.waiting.len()));
        self.feed_and_follow(1, pace.at_a_time, rest.len()).await?;
        self.waiting.extend(rest);
        if self.toll.stopped.is_none() {
            self.feed_and_follow(pace.max_failures, pace.at_a_time, 0).await?;
        }
        self.toll.left = self.waiting.len();
        self.show(0, true)?;
        Ok(self.toll)
    }

    async fn feed_and_follow(
        &mut self,
        max_failures: usize,
        at_a_time: usize,
        later: usize,
    ) -> Result<(), Error> {
        let mut pause = FIRST_PAUSE;
        while !self.open.is_empty() || (self.toll.stopped.is_none() && !self.waiting.is_empty()) {
            if self.toll.stopped.is_none() {
                self.feed(at_a_time).await?;
            }
            let looked = Instant::now();
            let ended = self.look().await?;
            pause = if ended { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            if ended {
                self.show(later, false)?;
            } else if self.moved.elapsed() > STALLED {
                self.moved = Instant::now();
                self.meter.say(self.stalled)?;
            }
            if self.toll.failed.len() >= max_failures && self.toll.stopped.is_none() {
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
            let agents: Vec<i64> = self.waiting.drain(..room).collect();
            let jobs = desk::ask(self.client, self.work, &agents).await;
            self.open.extend(jobs.map_err(failed("queueing the jobs"))?);
        }
        Ok(())
    }

    /// Looks once at the open jobs; whether any has ended.
    async fn look(&mut self) -> Result<bool, Error> {
        let before = self.open.len();
        let jobs = desk::follow(self.client, &self.open).await;
        self.open.clear();
        for job in jobs.map_err(failed("following the jobs"))? {
            match job.end {
                None => self.open.push(job.id),
                Some(End::Succeeded) => self.toll.succeeded += 1,
                Some(End::Cancelled) => self.toll.cancelled += 1,
                Some(End::Dead | End::Paused | End::Blocked) => self.toll.failed.push(job),
            }
        }
        Ok(self.open.len() < before)
    }

    /// Queues nothing more and takes back what no worker is on.
    async fn stop(&mut self) -> Result<(), Error> {
        let failures = self.toll.failed.len();
        let noun = if failures == 1 { "failure" } else { "failures" };
        let why = format!("stopped after {failures} {noun}");
        let by = By { who: None, reason: Some(why.clone()), dry_run: false };
        let cancelled = desk::cancel(self.client, &self.open, &by).await;
        cancelled.map_err(failed("cancelling the jobs"))?;
        self.toll.stopped = Some(why);
        Ok(())
    }

    fn show(&mut self, later: usize, all: bool) -> Result<(), Error> {
        self.moved = Instant::now();
        let undone = self.waiting.len() + self.open.len() + later;
        self.meter.show_left(undone, self.toll.failed.len(), all)
    }
}

impl Toll {
    /// Whether all was done that was asked for.
    pub(super) fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.cancelled == 0 && self.stopped.is_none()
    }

    /// Says what is left, and how to go on.
    pub(super) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let count = |jobs: usize| job_text::count(i64::try_from(jobs).unwrap_or(i64::MAX));
        job_text::failures(out, &self.failed)?;
        writeln!(out, "{} succeeded, {} failed", count(self.succeeded), self.failed.len())?;
        let undone = self.left + self.cancelled;
        if let Some(why) = &self.stopped {
            writeln!(out, "{why}: {undone} agents were not begun")?;
        } else if undone > 0 {
            writeln!(out, "{} cancelled", count(undone))?;
        }
        if !self.is_clean() {
            writeln!(
                out,
                "to go on: mend the cause, `jobs replay` what is dead, then the same command again"
            )?;
        }
        Ok(())
    }
}
