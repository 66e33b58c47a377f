//! One worker: claims a job, does it, settles it, one after the other on a connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::SemaphorePermit;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, UnrecordedAttempt};
use super::budget::Budget;
use super::dispatch::{Dispatcher, ROLL_BACK};
use super::hang_detection::{self, Broken};
use super::interruption::Interruption;
use super::poll::{self, Found};
use super::wakeup::{WakeReason, WakeupSignal};
use crate::postgres::{Db, backoff};
use crate::queue::{self, ClaimFilter, ErrorCode, Failure, Job, Outcome};
use crate::telemetry::{Metrics, Unready, Wakeup, caught};

/// A server process keeps about 70 kB of cache for each agent it has touched.
const JOBS_PER_SESSION: u32 = 500;

/// Works until told to stop.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    pub db: Db,
    /// Says when to look.
    pub wake: Arc<WakeupSignal>,
    pub dispatcher: Dispatcher,
    /// Of the jobs that may run over all databases; `None` for no bound.
    pub budget: Option<Arc<Budget>>,
    pub metrics: Arc<Metrics>,
}

enum Step {
    Worked,
    /// The session is not fit for more work.
    Spent,
    Idle,
    /// A newer program has migrated.
    Outdated,
}

enum Stopped {
    /// Before anything was claimed.
    Looking(Broken),
    /// In the middle of a job.
    Working(Box<UnrecordedAttempt>, Interruption),
}

impl Worker {
    /// Claims and works until `stop`; what is being worked on then is finished first.
    ///
    /// On `abort` the running statement is cancelled and the job rolled back, as if never claimed.
    /// A broken connection is replaced, with backoff, for as long as it takes. On a schema newer
    /// than the program it ends unasked.
    pub(crate) async fn run(self, stop: CancellationToken, abort: CancellationToken) {
        let (mut failures, mut unrecorded) = (0, None);
        while !stop.is_cancelled() {
            let broken = match self.metrics.liveness.while_waiting(self.db.get()).await {
                Ok(connection) => {
                    let serving =
                        self.serve(&connection, &mut unrecorded, &mut failures, &stop, &abort);
                    let served = serving.await;
                    Db::close(connection);
                    served
                }
                Err(error) => Err(Interruption::from(&error)),
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
            if let Interruption::Database(why) = trouble {
                self.metrics.liveness.failed(why);
            }
            let rested = stop.run_until_cancelled(tokio::time::sleep(wait));
            self.metrics.liveness.while_waiting(rested).await;
        }
    }

    /// Works on one connection until it breaks, has served its time, or `stop`. Says whether to go
    /// on with another.
    async fn serve(
        &self,
        client: &Client,
        unrecorded: &mut Option<UnrecordedAttempt>,
        failures: &mut u32,
        stop: &CancellationToken,
        abort: &CancellationToken,
    ) -> Result<bool, Interruption> {
        let (mut jobs, mut peek) = (0, false);
        while jobs < JOBS_PER_SESSION && !stop.is_cancelled() {
            if let Some(attempt) = unrecorded.as_ref() {
                let recorded = attempt.record(client, &self.dispatcher.limits, &self.metrics).await;
                if recorded.map_err(|broken| Interruption::from(&broken))? {
                    *unrecorded = None;
                } else {
                    self.wake.within(poll::HELD);
                }
            }
            let Some(turn) = self.turn(stop).await else { return Ok(true) };
            let taken = tokio::select! {
                taken = self.step(client, peek) => taken,
                () = abort.cancelled() => {
                    self.db.cancel(client).await;
                    return Ok(true);
                }
            };
            drop(turn);
            match taken {
                Ok(Step::Worked) => (jobs, peek) = (jobs + 1, false),
                Ok(Step::Spent) => jobs = JOBS_PER_SESSION,
                Ok(Step::Idle) => {
                    let turn = stop.run_until_cancelled(self.wake.turn());
                    let turn = self.metrics.liveness.while_waiting(turn).await;
                    peek = turn == Some(WakeReason::Timed);
                }
                Ok(Step::Outdated) => return Ok(false),
                Err(Stopped::Looking(broken)) => return Err(Interruption::from(&broken)),
                Err(Stopped::Working(attempt, trouble)) => {
                    let job = attempt.job.id;
                    *unrecorded = Some(*attempt);
                    return Err(trouble.in_the_middle_of(job));
                }
            }
            *failures = 0;
        }
        Ok(true)
    }

    /// Waits for its turn among all databases. `None`: `stop` came first.
    async fn turn(&self, stop: &CancellationToken) -> Option<Option<SemaphorePermit<'_>>> {
        let Some(budget) = &self.budget else { return Some(None) };
        self.metrics.liveness.while_waiting(stop.run_until_cancelled(budget.take())).await
    }

    async fn step(&self, client: &Client, peek: bool) -> Result<Step, Stopped> {
        let started = Instant::now();
        let found =
            poll::find(client, &self.dispatcher.limits, self.claim_filter(), &self.wake, peek);
        let found =
            hang_detection::with_timeout("look at the queue", hang_detection::CLAIM_TIMEOUT, found)
                .await;
        let found = found.map_err(Stopped::Looking)?;
        self.metrics.liveness.looked();
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
            self.wake.within(poll::HELD); // should this one take long, somebody must look ahead meanwhile
        }
        let work = tokio::select! {
            work = caught(Box::pin(self.dispatcher.work(client, &job))) => work, // boxed: it is large
            () = hang_detection::job_released(&self.db, &self.metrics.liveness, job.id) => {
                let trouble = Interruption::Database(Unready::unreachable("no answer".to_owned()));
                return Err(unrecorded(job, attempt::fell_silent(started), trouble));
            }
        };
        let work = match work {
            Ok(work) => work.map_err(|e| attempt::work_failed(&e, started)),
            Err(panic) => return Err(panicked(job, panic, started)),
        };
        // A function's plan that a rule has left empty depends on no table, so the end of the rule does not end it.
        let stale = work.as_ref().is_err_and(|why| why.parts.code == ErrorCode::WriteIgnored);
        self.settle(client, job, work, started).await?;
        self.metrics.liveness.beat();
        Ok(if stale { Step::Spent } else { Step::Worked })
    }

    /// Records what came of the work, in the transaction that claimed the job, and commits.
    async fn settle(
        &self,
        client: &Client,
        job: Job,
        work: Result<Outcome, Failure>,
        started: Instant,
    ) -> Result<(), Stopped> {
        let settled = hang_detection::with_timeout(
            "record the outcome",
            hang_detection::SETTLE_TIMEOUT,
            async {
                match &work {
                    Ok(outcome) => {
                        queue::succeed(client, &job, *outcome, started.elapsed()).await.map(|()| 0)
                    }
                    Err(failure) => self.give_up(client, &job, failure).await,
                }
            },
        );
        match (settled.await, work) {
            (Ok(_), Ok(outcome)) => {
                attempt::done(&self.metrics, &job, outcome, started.elapsed());
            }
            (Ok(give_ways), Err(failure)) => {
                self.wake.within(poll::HELD);
                let holder = attempt::holder(client, &job, &failure, give_ways).await;
                let max_attempts = self.dispatcher.limits.max_attempts;
                attempt::failed(&self.metrics, &job, &failure, max_attempts, holder.as_ref());
            }
            (Err(broken), Err(failure)) => {
                return Err(unrecorded(job, failure, Interruption::from(&broken)));
            }
            (Err(broken), Ok(_)) => {
                let failure = attempt::settling_failed(&broken, started);
                return Err(unrecorded(job, failure, Interruption::from(&broken)));
            }
        }
        Ok(())
    }

    fn claim_filter(&self) -> ClaimFilter {
        let version = self.dispatcher.build_spec.templates().version();
        ClaimFilter { upgrades: self.dispatcher.upgrade_runner.is_free().then_some(version) }
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
        let max_attempts = self.dispatcher.limits.max_attempts;
        let recorded = queue::fail(client, job, failure, Duration::ZERO, max_attempts).await?;
        client.batch_execute("commit").await?;
        Ok(recorded.unwrap_or_default())
    }
}

fn unrecorded(job: Job, failure: Failure, trouble: Interruption) -> Stopped {
    Stopped::Working(Box::new(UnrecordedAttempt { job, failure, since: Instant::now() }), trouble)
}

/// The connection may be in any state, so the attempt is recorded on another.
fn panicked(job: Job, error: String, started: Instant) -> Stopped {
    let (id, kind) = (job.id, job.kind().as_str());
    tracing::error!(job.id = id, job.kind = kind, agent.prefix = job.prefix, error, "job panicked");
    unrecorded(job, attempt::panicked(&error, started), Interruption::Panic(error))
}
