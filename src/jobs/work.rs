//! What is done for each kind of job, between the claim and its record.

use tokio_postgres::Client;

use super::job::{Job, Kind};
use super::worker::{ROLL_BACK, Worker};
use super::{brake, queue};
use crate::agent::{self, Leaving, LockMode, Outcome, Reference, Registered};

const SAVEPOINT: &str = "savepoint job";

impl Worker {
    pub(super) async fn work(&self, client: &Client, job: &Job) -> Result<Outcome, agent::Error> {
        if job.kind != Kind::Deprovision && job.superseded {
            return Ok(Outcome::Superseded);
        }
        let query = |doing| move |source| agent::Error::Query { doing, source };
        // The first sends its message before the second begins; nobody waits in between.
        let (opened, turn, worked) = tokio::join!(biased; client.batch_execute(SAVEPOINT),
            self.require_turn(client, job), async {
            self.require_files(job)?;
            match job.kind {
                Kind::Provision => {
                    agent::provision(client, &self.blueprint, &job.agent()?, job.registered).await
                }
                Kind::Repair => {
                    let (agent, force) = (job.agent()?, job.argument.as_deref() == Some("force"));
                    agent::repair(client, &self.blueprint, &agent, job.registered, force).await
                }
                Kind::Upgrade => {
                    self.aside.upgrade(client, &self.blueprint, job).await
                }
                Kind::Convert => self.convert(client, job).await,
                Kind::Deprovision => self.deprovision(client, job).await,
            }
        });
        opened.map_err(query("open a savepoint"))?;
        turn?;
        let outcome = worked?;
        if outcome == Outcome::Superseded {
            let undone = client.batch_execute(ROLL_BACK).await;
            undone.map_err(query("take back what was built"))?;
        }
        Ok(outcome)
    }

    /// A job that would wait for `agents` in vain gives way before it begins. Repairs and upgrades, which
    /// seldom lock it, ask for themselves.
    async fn require_turn(&self, client: &Client, job: &Job) -> Result<(), agent::Error> {
        let keyed = job.reference == Reference::ForeignKey && !job.has_begun();
        // It is tied as was asked, and its rows are to be checked.
        let tied = job.argument.as_deref() == Some(job.reference.as_str());
        let mode = match (job.kind, job.registered) {
            (Kind::Provision, Registered::Nobody) if self.blueprint.locks_agents() => {
                LockMode::ShareRowExclusive
            }
            (Kind::Convert, Registered::This) if tied => return Ok(()),
            (Kind::Deprovision | Kind::Convert, Registered::This) if keyed => {
                LockMode::AccessExclusive
            }
            (Kind::Convert, Registered::This) => LockMode::ShareRowExclusive,
            _ => return Ok(()),
        };
        agent::require_turn(client, mode).await
    }

    async fn deprovision(&self, client: &Client, job: &Job) -> Result<Outcome, agent::Error> {
        let query = |doing| move |source| agent::Error::Query { doing, source };
        if !job.has_begun() {
            brake::hold(client, &self.limits, job).await?;
        }
        let leaving = Leaving { id: job.agent_id, prefix: &job.prefix, unreported: job.unreported };
        let (cancelled, done) = tokio::join!(
            biased;
            queue::cancel_earlier(client, job),
            agent::deprovision(client, &self.blueprint, leaving),
        );
        cancelled.map_err(query("cancel the agent's earlier jobs"))?;
        done
    }

    /// To fewer files than an agent was built from, what the others made is additional, and a repair
    /// might take it away. A worker that has them all may come.
    fn require_files(&self, job: &Job) -> Result<(), agent::Error> {
        let (version, known) = (job.version, self.blueprint.templates().version());
        let compares = matches!(job.kind, Kind::Repair | Kind::Convert);
        if compares && job.registered == Registered::This && version > known {
            return Err(agent::Error::Outdated { version, known });
        }
        Ok(())
    }

    async fn convert(&self, client: &Client, job: &Job) -> Result<Outcome, agent::Error> {
        if job.registered != Registered::This {
            return Ok(Outcome::Superseded);
        }
        let to = job.argument.as_deref().unwrap_or_default().parse()?;
        if job.reference == to {
            return agent::check_keys(client, job.agent_id).await;
        }
        agent::convert(client, &self.blueprint, &job.agent()?, job.version, to).await
    }
}
