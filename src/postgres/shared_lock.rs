//! Locks on the tables that all agents share. What paces them: `sql/base/70_agents_lock.sql`.

use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::Client;
use tokio_postgres::types::{ToSql, Type};

use super::lock_mode::LockMode;
use super::query_error::{QueryError, query};

/// How long an operator waits for a lock, and between two tries.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

const DOING: &str = "lock what all agents share";

/// Before a worker writes to `agents`: those that ask for a lock on it let this one pass, and wait where they hold up
/// nobody. Several may write at once.
pub(crate) const LOCK_GATE: &str = "lock table provisioning.lock_gate in share mode";

/// For work that is going to want the lock. Fails where it would not get it, before there is work to undo.
pub async fn require_turn(client: &Client, mode: LockMode) -> Result<(), QueryError> {
    let sql = "select provisioning.require_lock_turn($1)";
    let asked = client.query_typed(sql, &[(&mode.as_str(), Type::TEXT)]).await;
    asked.map(drop).map_err(query(DOING))
}

/// Locks shared tables, and then an agent's own ones, until the transaction ends. It waits for
/// milliseconds only, and not at all shortly after a wait of any worker's. So call it right before the
/// statement that needs the locks, and wait for nothing afterwards.
///
/// Names are qualified and quoted. Shared tables that do not exist, and those that the caller may not
/// refer to, are left out.
pub(crate) async fn lock(
    client: &Client,
    mode: LockMode,
    shared: &[String],
    own: &[String],
) -> Result<(), QueryError> {
    let sql = "select provisioning.lock_shared($1, $2, $3)";
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&mode.as_str(), Type::TEXT), (&shared, Type::TEXT_ARRAY), (&own, Type::TEXT_ARRAY)];
    let locked = client.query_typed(sql, &parameters).await;
    locked.map(drop).map_err(query(DOING))
}

/// The same for an operator at a terminal: tries again and again for half a minute. Comes first in its
/// transaction, so that nothing is locked meanwhile.
pub(crate) async fn lock_patiently(
    client: &Client,
    mode: LockMode,
    shared: &[String],
    own: &[String],
) -> Result<(), QueryError> {
    let started = Instant::now();
    loop {
        client.batch_execute("savepoint patience").await.map_err(query(DOING))?;
        match lock(client, mode, shared, own).await {
            Err(error) if error.refusal().is_some() && started.elapsed() < PATIENCE => {}
            done => return done,
        }
        let back = "rollback to savepoint patience; release savepoint patience";
        client.batch_execute(back).await.map_err(query(DOING))?;
        sleep(PAUSE).await;
    }
}
