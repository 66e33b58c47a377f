//! One worker: claims a job, does it, settles it, one after the other on a connection of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::Wake;
use super::queue::{self, Failure, Job, Kind};
use crate::agent::{self, Agent, Blueprint, Outcome};
use crate::backoff;
use crate::db::Db;
use crate::error::{Chain, Disposition, disposition};

/// A due job that another worker holds is looked at again after this.
const HELD: Duration = Duration::from_millis(250);

/// A server process keeps about 70 kB of cache for each agent it has touched.
const JOBS_PER_SESSION: u32 = 500;

/// Set after the claim: rolling back to it keeps the job locked.
const SAVEPOINT: &str = "savepoint job";
const ROLL_BACK: &str = "rollback to savepoint job";

/// What bounds a job.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Failed attempts until a job is dead.
    pub max_attempts: i32,
    /// Longest run of a statement.
    pub statement_timeout: Duration,
    /// Longest wait for a lock; below the server's `deadlock_timeout`, so that the worker gives way.
    pub lock_timeout: Duration,
}

impl Limits {
    /// Local to the transaction, and so right behind a transaction-mode pooler too.
    fn begin(&self) -> String {
        format!(
            "begin; set local statement_timeout = {}; set local lock_timeout = {}; \
             set local idle_in_transaction_session_timeout = {}",
            self.statement_timeout.as_millis(),
            self.lock_timeout.as_millis(),
            crate::db::IDLE_IN_TRANSACTION.as_millis(),
        )
    }
}

/// Works until told to stop.
#[derive(Clone, Debug)]
pub struct Worker {
    db: Db,
    blueprint: Arc<Blueprint>,
    wake: Arc<Wake>,
    limits: Limits,
}

/// An attempt whose connection broke before its record was known to be committed.
#[derive(Debug)]
struct Lost {
    job: Job,
    failure: Failure,
}

enum Step {
    Worked,
    Idle,
}

enum Broken {
    /// Before anything was claimed.
    Claim(tokio_postgres::Error),
    /// In the middle of a job.
    Job(Box<Lost>),
}

impl Worker {
    /// A worker that is not yet working.
    pub fn new(db: Db, blueprint: Arc<Blueprint>, wake: Arc<Wake>, limits: Limits) -> Self {
        Self { db, blueprint, wake, limits }
    }

    /// Claims and works until `stop`; what is being worked on then is finished first.
    ///
    /// On `abort` the running statement is cancelled and the job rolled back, as if never claimed.
    /// A broken connection is replaced, with backoff, for as long as it takes.
    pub async fn run(self, stop: CancellationToken, abort: CancellationToken) {
        let (mut failures, mut lost) = (0, None);
        while !stop.is_cancelled() {
            let broken = match self.db.get().await {
                Ok(connection) => {
                    let serving = self.serve(&connection, &mut lost, &mut failures, &stop, &abort);
                    let served = serving.await;
                    Db::close(connection);
                    served
                }
                Err(error) => Err(Chain(&error).to_string()),
            };
            let Err(error) = broken else { continue };
            let wait = match failures {
                0 => Duration::ZERO, // idle connections die unnoticed: the next one may be fine
                _ => backoff::reconnect(failures, fastrand::f64()),
            };
            failures = failures.saturating_add(1);
            tracing::warn!(error, retry_in = ?wait, "worker lost its connection");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Works on one connection until it breaks, has served its time, or `stop`.
    async fn serve(
        &self,
        client: &Client,
        lost: &mut Option<Lost>,
        failures: &mut u32,
        stop: &CancellationToken,
        abort: &CancellationToken,
    ) -> Result<(), String> {
        if let Some(attempt) = lost.as_ref() {
            self.record(client, attempt).await.map_err(|e| Chain(&e).to_string())?;
            *lost = None;
        }
        let mut jobs = 0;
        while jobs < JOBS_PER_SESSION && !stop.is_cancelled() {
            let taken = tokio::select! {
                taken = self.step(client) => taken,
                () = abort.cancelled() => {
                    self.db.cancel(client).await;
                    return Ok(());
                }
            };
            match taken {
                Ok(Step::Worked) => jobs += 1,
                Ok(Step::Idle) => tokio::select! {
                    () = self.wake.turn() => {}
                    () = stop.cancelled() => {}
                },
                Err(Broken::Claim(error)) => return Err(Chain(&error).to_string()),
                Err(Broken::Job(attempt)) => {
                    let error = format!("it broke in the middle of job {}", attempt.job.id);
                    *lost = Some(*attempt);
                    return Err(error);
                }
            }
            *failures = 0;
        }
        Ok(())
    }

    async fn step(&self, client: &Client) -> Result<Step, Broken> {
        let started = Instant::now();
        let claimed = queue::claim(client, &self.limits.begin()).await.map_err(Broken::Claim)?;
        let Some(job) = claimed else {
            self.look_ahead(client).await.map_err(Broken::Claim)?;
            return Ok(Step::Idle);
        };
        self.wake.now(); // there may be more
        let work = self.work(client, &job).await;
        let settled = match &work {
            Ok(outcome) => queue::succeed(client, &job, *outcome, started.elapsed()).await,
            Err(error) => self.give_up(client, &job, &Failure::new(error, started)).await,
        };
        match (settled, work) {
            (Ok(()), Ok(outcome)) => {
                done(&job, outcome, started.elapsed());
                Ok(Step::Worked)
            }
            (Ok(()), Err(_)) => Ok(Step::Worked),
            (Err(_), Err(error)) => Err(lost(job, Failure::new(&error, started))),
            (Err(error), Ok(_)) => Err(lost(job, Failure::of_settling(&error, started))),
        }
    }

    async fn work(&self, client: &Client, job: &Job) -> Result<Outcome, agent::Error> {
        if job.kind != Kind::Deprovision && job.superseded {
            return Ok(Outcome::Superseded);
        }
        let query = |doing| move |source| agent::Error::Query { doing, source };
        // The first sends its message before the second begins; nobody waits in between.
        let (opened, worked) = tokio::join!(biased; client.batch_execute(SAVEPOINT), async {
            match job.kind {
                Kind::Provision => {
                    let agent = Agent { id: job.agent_id, prefix: job.prefix.parse()? };
                    agent::provision(client, &self.blueprint, &agent, job.registered).await
                }
                Kind::Repair => {
                    let agent = Agent { id: job.agent_id, prefix: job.prefix.parse()? };
                    agent::repair(client, &self.blueprint, &agent, job.registered).await
                }
                Kind::Deprovision => {
                    let cancelled = queue::cancel_earlier(client, job).await;
                    cancelled.map_err(query("cancel the agent's earlier jobs"))?;
                    agent::deprovision(client, job.agent_id, job.user.as_deref()).await
                }
            }
        });
        opened.map_err(query("open a savepoint"))?;
        let outcome = worked?;
        if outcome == Outcome::Superseded {
            let undone = client.batch_execute(ROLL_BACK).await;
            undone.map_err(query("take back what was built"))?;
        }
        Ok(outcome)
    }

    /// Records a failed attempt in the claim's own transaction, under the claim's own lock.
    async fn give_up(
        &self,
        client: &Client,
        job: &Job,
        failure: &Failure,
    ) -> Result<(), tokio_postgres::Error> {
        client.batch_execute(ROLL_BACK).await?;
        queue::fail(client, job, failure, self.limits.max_attempts).await?;
        client.batch_execute("commit").await?;
        self.wake.within(HELD);
        report(job, failure, self.limits.max_attempts);
        Ok(())
    }

    /// Records an attempt whose connection broke, unless it was committed after all or the job is
    /// in other hands by now.
    async fn record(&self, client: &Client, lost: &Lost) -> Result<(), tokio_postgres::Error> {
        let Lost { job, failure } = lost;
        match queue::fail(client, job, failure, self.limits.max_attempts).await {
            Ok(true) => report(job, failure, self.limits.max_attempts),
            Ok(false) => tracing::info!(job.id, "the job was settled all the same"),
            Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                tracing::info!(job.id, "another worker is on the job");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Sees to it that somebody looks when the next job is due.
    async fn look_ahead(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        let (due, ended) =
            tokio::join!(biased; queue::next_due(client), client.batch_execute("commit"));
        ended?;
        if let Some(seconds) = due? {
            let due = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            self.wake.within(due.max(HELD));
        }
        Ok(())
    }
}

impl Failure {
    fn new(error: &agent::Error, started: Instant) -> Self {
        Self {
            disposition: error.disposition(),
            error: Chain(error).to_string(),
            sqlstate: error.code().map(|code| code.code().to_owned()),
            took: started.elapsed(),
        }
    }

    fn of_settling(error: &tokio_postgres::Error, started: Instant) -> Self {
        Self {
            disposition: disposition(error.code()),
            error: format!("cannot commit: {}", Chain(error)),
            sqlstate: error.code().map(|code| code.code().to_owned()),
            took: started.elapsed(),
        }
    }
}

/// As a number that every log format knows.
fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn lost(job: Job, failure: Failure) -> Broken {
    Broken::Job(Box::new(Lost { job, failure }))
}

fn done(job: &Job, outcome: Outcome, took: Duration) {
    tracing::info!(
        job.id,
        job.kind = job.kind.as_str(),
        agent.id = job.agent_id.0,
        agent.prefix = job.prefix,
        attempt = job.attempts + 1,
        duration_ms = ms(took),
        outcome = outcome.as_str(),
        "job done"
    );
}

fn report(job: &Job, failure: &Failure, max_attempts: i32) {
    let dead = job.is_dead(failure, max_attempts);
    if failure.disposition == Disposition::GiveWay {
        tracing::debug!(job.id, agent.prefix = job.prefix, error = failure.error, "job gave way");
        return;
    }
    tracing::warn!(
        job.id,
        job.kind = job.kind.as_str(),
        agent.id = job.agent_id.0,
        agent.prefix = job.prefix,
        attempt = job.attempts + 1,
        duration_ms = ms(failure.took),
        outcome = if dead { "dead" } else { "retry" },
        error = failure.error,
        "job failed"
    );
}
