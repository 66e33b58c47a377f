//! Upgrades, and what of them no transaction may contain.

use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::agent::Agent;
use crate::postgres::{self, DedicatedConnector, IDLE_IN_TRANSACTION};
use crate::provisioning::{self, BuildSpec, Stage, upgrade};
use crate::queue::{Job, Outcome, PrefixOwner};
use crate::templates::Template;

/// Well before the server ends the job's transaction as idle.
const STAY_EVERY: Duration = Duration::from_secs(3);

/// By then the server has ended what a dead worker has left behind.
const SETTLED: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Connections beside those of the jobs' transactions.
///
/// A concurrent build waits for every transaction that may still need the old state of affairs,
/// for hours if it must. So one worker less than there are may be at it: new agents never wait.
#[derive(Debug)]
pub(crate) struct UpgradeRunner {
    dedicated: DedicatedConnector,
    free: Semaphore,
}

impl UpgradeRunner {
    /// For so many workers.
    pub(crate) fn new(dedicated: DedicatedConnector, workers: usize) -> Self {
        Self { dedicated, free: Semaphore::new(workers.saturating_sub(1).max(1)) }
    }

    /// Whether an upgrade could go on whatever its next file is.
    pub(crate) fn is_free(&self) -> bool {
        self.free.available_permits() > 0
    }

    /// Takes an agent one stage further, up to a version, or up to the newest.
    pub(crate) async fn upgrade(
        &self,
        client: &Client,
        build_spec: &BuildSpec,
        job: &Job,
        to: Option<i32>,
    ) -> Result<Outcome, provisioning::Error> {
        if job.registered != PrefixOwner::This {
            return Ok(Outcome::Superseded);
        }
        let (agent, templates) = (job.agent()?, build_spec.templates());
        let target = to.unwrap_or_else(|| templates.version());
        if target > templates.version() {
            return Ok(Outcome::MoreToDo); // asked for while it was being claimed: for a newer worker
        }
        let Some(stage) = Stage::next(templates, job.version, target) else {
            return Ok(Outcome::Unchanged);
        };
        if let Some(file) = stage.concurrent() {
            let Ok(_permit) = self.free.try_acquire() else { return Ok(Outcome::MoreToDo) };
            provisioning::require_own(client, build_spec, &agent, &stage).await?;
            self.run(client, job.id, &agent, file).await?;
        }
        upgrade(client, build_spec, &agent, job.reference, &stage).await
    }

    /// Runs a file on a connection of its own, while the job's transaction keeps the job.
    async fn run(
        &self,
        client: &Client,
        job: i64,
        agent: &Agent,
        file: &Template,
    ) -> Result<(), provisioning::Error> {
        if self.dedicated.source.is_pooled() {
            return Err(provisioning::Error::Pooled);
        }
        stay(client).await?;
        let connected = self.dedicated.connect(&format!("agent-provisioner job {job}")).await;
        let (other, wire) =
            connected.map_err(|error| provisioning::Error::Connect(Box::new(error)))?;
        let working = postgres::drive(other, wire, async |other| {
            wait_for_predecessor(other).await?;
            provisioning::run_concurrently(other, agent, file).await
        });
        tokio::select! {
            worked = working => worked,
            unrecorded = keep(client) => Err(unrecorded),
        }
    }
}

/// The worker of an earlier attempt may have died a moment ago, and its build goes on until the
/// server notices. To queue for the table would deadlock: that build waits for every snapshot.
async fn wait_for_predecessor(client: &Client) -> Result<(), provisioning::Error> {
    // This session and the one of the job's transaction bear the job's name.
    let sql = "select count(*) <= 2 from pg_catalog.pg_stat_activity \
               where datname = current_database() and usename = session_user \
               and application_name = current_setting('application_name')";
    let started = Instant::now();
    while started.elapsed() < SETTLED {
        let rows = client.query_typed(sql, &[]).await;
        let doing = "look for an earlier attempt";
        let rows = rows.map_err(postgres::query(doing))?;
        if rows.first().is_some_and(|row| row.get(0)) {
            break;
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Returns when the job's transaction is lost.
async fn keep(client: &Client) -> provisioning::Error {
    loop {
        sleep(STAY_EVERY).await;
        if let Err(error) = stay(client).await {
            return error;
        }
    }
}

/// Keeps the job's transaction from being ended as idle, with a statement that takes no snapshot
/// and closes the last query's: for that the build would wait, and the job for the build.
async fn stay(client: &Client) -> Result<(), provisioning::Error> {
    let limit = IDLE_IN_TRANSACTION.as_millis();
    let sql = format!("set local idle_in_transaction_session_timeout = {limit}");
    let stayed = client.batch_execute(&sql).await;
    Ok(stayed.map_err(postgres::query("keep the job's transaction"))?)
}
