//! Taking an agent over: its tables, its jobs and the repair that follows, in one transaction.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::actor::Actor;
use super::adopt_plan::Planned;
use crate::postgres::{self, Timeouts, query};
use crate::provisioning::{self, Taken, take};
use crate::queue::{Work, admin};
use crate::templates::ExpectedSchema;

/// The lock under which a worker has a prefix, as `provisioning.claim` takes it.
const LOCK_PREFIX: &str =
    "select pg_advisory_xact_lock(hashtextextended($1, provisioning.prefix_lock_seed()))";

#[derive(Debug)]
pub(crate) enum Adopted {
    /// It is done; the repair's job.
    Done(Option<i64>),
    /// There was nothing to do any more.
    Nothing,
    /// It cannot be done.
    Refused(String),
    /// Somebody held a lock: try again later. What the server said.
    Busy(provisioning::Error),
}

/// Registers an agent's tables, no others than are planned, ends the jobs that they were in the way of, and queues a repair. All of it, or none.
///
/// It waits for locks no longer than a worker does: the agent's own clients go first.
pub(crate) async fn adopt(
    actor: &Actor,
    client: &mut Client,
    expected_schema: &ExpectedSchema,
    timeouts: &Timeouts,
    planned: &Planned,
) -> Result<Adopted, provisioning::Error> {
    match attempt(actor, client, expected_schema, timeouts, planned).await {
        Err(error) if is_busy(&error) => Ok(Adopted::Busy(error)),
        done => done,
    }
}

async fn attempt(
    actor: &Actor,
    client: &mut Client,
    expected_schema: &ExpectedSchema,
    timeouts: &Timeouts,
    planned: &Planned,
) -> Result<Adopted, provisioning::Error> {
    let tx = postgres::begin(client).await.map_err(query("begin"))?;
    let limits = format!(
        "set local statement_timeout = {}; set local lock_timeout = {}",
        timeouts.statement.as_millis(),
        timeouts.lock.as_millis()
    );
    tx.batch_execute(&limits).await.map_err(query("begin"))?;
    // A sweep that is on its way could add a provision that nothing below sees.
    let wait = "lock table provisioning.sweep_gate in share mode";
    tx.batch_execute(wait).await.map_err(query("wait for a sweep"))?;
    // Nor is a job of this prefix begun or under way, which could build what is registered here.
    let Planned { agent, relations, .. } = planned;
    let prefix = agent.prefix.as_str();
    let locked = tx.query_typed(LOCK_PREFIX, &[(&prefix, Type::TEXT)]).await;
    locked.map_err(query("wait for the agent's job"))?;
    match take(tx.client(), expected_schema, agent, relations).await? {
        Taken::Adopted => {}
        Taken::Nothing => return Ok(Adopted::Nothing),
        Taken::Refused(reason) => return Ok(Adopted::Refused(reason)),
    }
    let end = "select provisioning.end_blocked($1)";
    let ended = tx.query_typed(end, &[(&agent.id.0, Type::INT8)]).await;
    ended.map_err(query("end the jobs that were blocked"))?;
    // With force: the old policies would add up with ours.
    let work = Work::Repair { force: true };
    let queued = admin::enqueue(tx.client(), work, &[agent.id.0], None, actor.name()).await;
    let queued = queued.map_err(query("queue the repair"))?;
    tx.commit().await.map_err(query("commit"))?;
    Ok(Adopted::Done(queued.first().copied()))
}

fn is_busy(error: &provisioning::Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
    })
}
