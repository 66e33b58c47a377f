//! What is done for each kind of job, between the claim and its record.

use std::sync::Arc;

use tokio_postgres::Client;

use super::deletion_limit;
use super::limits::Limits;
use super::upgrade_runner::UpgradeRunner;
use crate::agent::Reference;
use crate::postgres::{self, LockMode, query};
use crate::provisioning::{self, BuildSpec, Deletion, Error};
use crate::queue::{self, Job, Kind, Outcome, PrefixOwner, Work};

const SAVEPOINT: &str = "savepoint job";

/// Takes back what the work has done. The savepoint is set after the claim, so the job stays locked.
pub(crate) const ROLL_BACK: &str = "rollback to savepoint job";

/// What the work on a job needs.
#[derive(Clone, Debug)]
pub(crate) struct Dispatcher {
    pub build_spec: Arc<BuildSpec>,
    pub limits: Limits,
    /// For what no transaction may contain.
    pub upgrade_runner: Arc<UpgradeRunner>,
}

impl Dispatcher {
    /// Does the job, in the transaction that has claimed it.
    pub(crate) async fn work(&self, client: &Client, job: &Job) -> Result<Outcome, Error> {
        if job.kind() != Kind::Deprovision && job.superseded {
            return Ok(Outcome::Superseded);
        }
        // The first sends its message before the second begins; nobody waits in between.
        let (opened, turn, worked) = tokio::join!(
            biased;
            client.batch_execute(SAVEPOINT),
            self.require_turn(client, job),
            self.dispatch(client, job),
        );
        opened.map_err(query("open a savepoint"))?;
        turn?;
        let outcome = worked?;
        if outcome == Outcome::Superseded {
            let undone = client.batch_execute(ROLL_BACK).await;
            undone.map_err(query("take back what was built"))?;
        }
        Ok(outcome)
    }

    async fn dispatch(&self, client: &Client, job: &Job) -> Result<Outcome, Error> {
        self.require_files(job)?;
        let build_spec = &self.build_spec;
        match job.work {
            Work::Provision => {
                provisioning::build(client, build_spec, &job.agent()?, job.registered).await
            }
            Work::Deprovision { .. } => self.delete(client, job).await,
            Work::Upgrade { to } => self.upgrade_runner.upgrade(client, build_spec, job, to).await,
            Work::Repair { force } => {
                let agent = job.agent()?;
                let plan = job.plan.as_deref();
                provisioning::repair(client, build_spec, &agent, job.registered, force, plan).await
            }
            Work::Convert { to } => self.convert(client, job, to).await,
            Work::Restore => provisioning::restore_job(client, job.id).await,
        }
    }

    /// A job that would wait for `agents` in vain gives way before it begins. Repairs and upgrades, which
    /// seldom lock it, ask for themselves.
    async fn require_turn(&self, client: &Client, job: &Job) -> Result<(), Error> {
        let keyed = job.reference == Reference::ForeignKey && !job.has_begun();
        let mode = match (job.work, job.registered) {
            (Work::Provision, PrefixOwner::Nobody) if self.build_spec.locks_agents() => {
                LockMode::ShareRowExclusive
            }
            // It is tied as was asked, and its rows are to be checked.
            (Work::Convert { to }, PrefixOwner::This) if to == job.reference => return Ok(()),
            (Work::Deprovision { .. } | Work::Convert { .. }, PrefixOwner::This) if keyed => {
                LockMode::AccessExclusive
            }
            (Work::Convert { .. }, PrefixOwner::This) => LockMode::ShareRowExclusive,
            _ => return Ok(()),
        };
        Ok(postgres::require_turn(client, mode).await?)
    }

    async fn delete(&self, client: &Client, job: &Job) -> Result<Outcome, Error> {
        if !job.has_begun() {
            deletion_limit::hold(client, &self.limits, job).await?;
        }
        let leaving =
            Deletion { id: job.agent_id, prefix: &job.prefix, unreported: job.unreported };
        let (cancelled, done) = tokio::join!(
            biased;
            queue::cancel_earlier(client, job),
            provisioning::delete(client, &self.build_spec, leaving),
        );
        cancelled.map_err(query("cancel the agent's earlier jobs"))?;
        done
    }

    /// To fewer files than an agent was built from, what the others made is additional, and a repair
    /// might take it away. A worker that has them all may come.
    fn require_files(&self, job: &Job) -> Result<(), Error> {
        let (version, known) = (job.version, self.build_spec.templates().version());
        if job.kind().compares() && job.registered == PrefixOwner::This && version > known {
            return Err(Error::Outdated { version, known });
        }
        Ok(())
    }

    async fn convert(&self, client: &Client, job: &Job, to: Reference) -> Result<Outcome, Error> {
        if job.registered != PrefixOwner::This {
            return Ok(Outcome::Superseded);
        }
        if job.reference == to {
            return provisioning::check_keys(client, job.agent_id).await;
        }
        provisioning::convert(client, &self.build_spec, &job.agent()?, job.version, to).await
    }
}
