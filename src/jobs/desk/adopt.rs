//! Taking an agent over: its tables, its jobs and the repair that follows, in one transaction.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::{BEHIND_NEW_AGENTS, Work, ask};
use crate::agent::{self, Agent, Manifest, Taken, take};
use crate::db::{self, Patience};

/// What came of it.
#[derive(Debug)]
pub(crate) enum Adopted {
    /// It is done; the repair's job.
    Done(Option<i64>),
    /// There was nothing to do any more.
    Nothing,
    /// It cannot be done.
    Refused(String),
    /// Somebody held a lock: try again later. What the server said.
    Busy(agent::Error),
}

/// Registers an agent's tables, ends what is left of its provision, which they were in the way of,
/// and queues a repair. All of it, or none.
///
/// It waits for locks no longer than a worker does: the agent's own clients go first.
pub(crate) async fn adopt(
    client: &mut Client,
    manifest: &Manifest,
    patience: &Patience,
    agent: &Agent,
) -> Result<Adopted, agent::Error> {
    match attempt(client, manifest, patience, agent).await {
        Err(error) if is_busy(&error) => Ok(Adopted::Busy(error)),
        done => done,
    }
}

async fn attempt(
    client: &mut Client,
    manifest: &Manifest,
    patience: &Patience,
    agent: &Agent,
) -> Result<Adopted, agent::Error> {
    let tx = db::begin(client).await.map_err(failed("begin"))?;
    let limits = format!(
        "set local statement_timeout = {}; set local lock_timeout = {}",
        patience.statement.as_millis(),
        patience.lock.as_millis()
    );
    tx.batch_execute(&limits).await.map_err(failed("begin"))?;
    // A sweep that is on its way could add a provision that nothing below sees.
    let wait = "lock table provisioning.sweep_gate in share mode";
    tx.batch_execute(wait).await.map_err(failed("wait for a sweep"))?;
    match take(tx.client(), manifest, agent).await? {
        Taken::Adopted => {}
        Taken::Nothing => return Ok(Adopted::Nothing),
        Taken::Refused(reason) => return Ok(Adopted::Refused(reason)),
    }
    let end = "select provisioning.end_provision($1)";
    let ended = tx.query_typed(end, &[(&agent.id.0, Type::INT8)]).await;
    ended.map_err(failed("end the agent's provision"))?;
    // With force: the old policies would add up with ours.
    let work = Work { kind: "repair", argument: Some("force"), priority: BEHIND_NEW_AGENTS };
    let queued = ask(tx.client(), work, &[agent.id.0]).await.map_err(failed("queue the repair"))?;
    tx.commit().await.map_err(failed("commit"))?;
    Ok(Adopted::Done(queued.first().copied()))
}

fn failed(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> agent::Error {
    move |source| agent::Error::Query { doing, source }
}

fn is_busy(error: &agent::Error) -> bool {
    error.code().is_some_and(|code| {
        [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
    })
}
