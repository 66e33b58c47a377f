//! One worker: claims a job, does it, settles it, one after the other on a connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Failure, Lost};
use super::job::Job;
use super::look::{self, Found};
use super::queue::{self, Takes};
use super::silence::{self, Broken};
use super::trouble::Trouble;
use super::wake::Turn;
use super::{Aside, Limits, Wake};
use crate::agent::Blueprint;
use crate::backoff;
use crate::db::Db;
use crate::metrics::{Metrics, Wakeup};
use crate::panics::caught;
use crate::pulse::Unready;

/// A server process keeps about 70 kB of cache for each agent it has touched.
const JOBS_PER_SESSION: u32 = 500;

/// The savepoint is set after the claim, so the job stays locked.
pub(super) const ROLL_BACK: &str = "rollback to savepoint job";

/// Works until told to stop.
#[derive(Clone, Debug)]
pub struct Worker {
    /// Where.
    pub db: Db,
    /// What an agent gets.
    pub blueprint: Arc<Blueprint>,
    /// Says when to look.
    pub wake: Arc<Wake>,
    /// What bounds a job.
    pub limits: Limits,
    /// For what no transaction may contain.
    pub aside: Arc<Aside>,
    /// Told of every step.
    pub metrics: Arc<Metrics>,
}

enum Step {
    Worked,
    Idle,
    /// A newer program has migrated.
    Outdated,
}

enum Stopped {
    /// Before anything was claimed.
    Looking(Broken),
    /// In the middle of a job.
    Working(Box<Lost>, Trouble),
}

impl Worker {
    /// Claims and works until `stop`; what is being worked on then is finished first.
    ///
    /// On `abort` the running statement is cancelled and the job rolled back, as if never claimed.
    /// A broken connection is replaced, with backoff, for as long as it takes. On a schema newer
    /// than the program it ends unasked.
    pub async fn run(self, stop: CancellationToken, abort: CancellationToken) {
        let (mut failures, mut lost) = (0, None);
        while !stop.is_cancelled() {
            let broken = match self.metrics.pulse.while_waiting(self.db.get()).await {
                Ok(connection) => {
                    let serving = self.serve(&connection, &mut lost, &mut failures, &stop, &abort);
                    let served = serving.await;
                    Db::close(connection);
                    served
                }
                Err(error) => Err(Trouble::from(&error)),
            };
            let trouble = match broken {
                Ok(true) => continue,
                Ok(false) => return,
                Err(trouble) => trouble,
            };
            let wait = trouble.wait(failures);
            if backoff::worth_a_line(failures) {
                trouble.tell(wait);
            }
            failures = failures.saturating_add(1);
            if let Trouble::Database(why) = trouble {
                self.metrics.pulse.failed(why);
            }
            let rested = stop.run_until_cancelled(tokio::time::sleep(wait));
            self.metrics.pulse.while_waiting(rested).await;
        }
    }

    /// Works on one connection until it breaks, has served its time, or `stop`. Says whether to go
    /// on with another.
    async fn serve(
        &self,
        client: &Client,
        lost: &mut Option<Lost>,
        failures: &mut u32,
        stop: &CancellationToken,
        abort: &CancellationToken,
    ) -> Result<bool, Trouble> {
        let (mut jobs, mut glance) = (0, false);
        while jobs < JOBS_PER_SESSION && !stop.is_cancelled() {
            if let Some(attempt) = lost.as_ref() {
                let recorded = attempt.record(client, &self.limits, &self.metrics).await;
                if recorded.map_err(|broken| Trouble::from(&broken))? {
                    *lost = None;
                } else {
                    self.wake.within(look::HELD);
                }
            }
            let taken = tokio::select! {
                taken = self.step(client, glance) => taken,
                () = abort.cancelled() => {
                    self.db.cancel(client).await;
                    return Ok(true);
                }
            };
            match taken {
                Ok(Step::Worked) => (jobs, glance) = (jobs + 1, false),
                Ok(Step::Idle) => {
                    let turn = stop.run_until_cancelled(self.wake.turn());
                    let turn = self.metrics.pulse.while_waiting(turn).await;
                    glance = turn == Some(Turn::Timed);
                }
                Ok(Step::Outdated) => return Ok(false),
                Err(Stopped::Looking(broken)) => return Err(Trouble::from(&broken)),
                Err(Stopped::Working(attempt, trouble)) => {
                    let job = attempt.job.id;
                    *lost = Some(*attempt);
                    return Err(trouble.in_the_middle_of(job));
                }
            }
            *failures = 0;
        }
        Ok(true)
    }

    async fn step(&self, client: &Client, glance: bool) -> Result<Step, Stopped> {
        let started = Instant::now();
        let found = look::find(client, &self.limits, self.takes(), &self.wake, glance);
        let found = silence::answered("look at the queue", silence::LOOK, found).await;
        let found = found.map_err(Stopped::Looking)?;
        self.metrics.pulse.looked();
        let job = match found {
            Found::Job(job) => *job,
            Found::Nothing => return Ok(Step::Idle),
            Found::Newer(newer) => {
                tracing::error!(error = %newer, "taking nothing more on");
                return Ok(Step::Outdated);
            }
        };
        if job.more {
            self.wake.now(Wakeup::More);
        } else {
            self.wake.within(look::HELD); // should this one take long, somebody must look ahead meanwhile
        }
        let work = tokio::select! {
            work = caught(Box::pin(self.work(client, &job))) => work, // boxed: it is large
            () = silence::let_go(&self.db, &self.metrics.pulse, job.id) => {
                let trouble = Trouble::Database(Unready::unreachable("no answer".to_owned()));
                return Err(lost(job, Failure::of_silence(started), trouble));
            }
        };
        let work = match work {
            Ok(work) => work.map_err(|e| Failure::of_work(&e, started)),
            Err(panic) => return Err(panicked(job, panic, started)),
        };
        let settled = silence::answered("record the outcome", silence::SETTLE, async {
            match &work {
                Ok(outcome) => {
                    queue::succeed(client, &job, *outcome, started.elapsed()).await.map(|()| 0)
                }
                Err(failure) => self.give_up(client, &job, failure).await,
            }
        });
        match (settled.await, work) {
            (Ok(_), Ok(outcome)) => {
                attempt::done(&self.metrics, &job, outcome, started.elapsed());
            }
            (Ok(give_ways), Err(failure)) => {
                self.wake.within(look::HELD);
                let holder = attempt::holder(client, &job, &failure, give_ways).await;
                let max_attempts = self.limits.max_attempts;
                attempt::failed(&self.metrics, &job, &failure, max_attempts, holder.as_ref());
            }
            (Err(broken), Err(failure)) => return Err(lost(job, failure, Trouble::from(&broken))),
            (Err(broken), Ok(_)) => {
                let failure = Failure::of_settling(&broken, started);
                return Err(lost(job, failure, Trouble::from(&broken)));
            }
        }
        self.metrics.pulse.beat();
        Ok(Step::Worked)
    }

    fn takes(&self) -> Takes {
        let version = self.blueprint.templates().version();
        Takes { upgrades: self.aside.is_free().then_some(version) }
    }

    /// Records a failed attempt in the claim's own transaction, under the claim's own lock. How often the
    /// job gave way by now.
    async fn give_up(
        &self,
        client: &Client,
        job: &Job,
        failure: &Failure,
    ) -> Result<i32, tokio_postgres::Error> {
        client.batch_execute(ROLL_BACK).await?;
        let max_attempts = self.limits.max_attempts;
        let recorded = queue::fail(client, job, failure, Duration::ZERO, max_attempts).await?;
        client.batch_execute("commit").await?;
        Ok(recorded.unwrap_or_default())
    }
}

fn lost(job: Job, failure: Failure, trouble: Trouble) -> Stopped {
    Stopped::Working(Box::new(Lost { job, failure, since: Instant::now() }), trouble)
}

/// The connection may be in any state, so the attempt is recorded on another.
fn panicked(job: Job, error: String, started: Instant) -> Stopped {
    let (id, kind) = (job.id, job.kind.as_str());
    tracing::error!(job.id = id, job.kind = kind, agent.prefix = job.prefix, error, "job panicked");
    lost(job, Failure::of_panic(&error, started), Trouble::Panic(error))
}
