//! The copy of the rows out of locked tables, and the hand-over.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Transaction};

use super::error::MoveError;
use super::rows::{copy_rows, layout_of_source, require_same};
use super::{CopiedTable, Sides, Step, require_no_jobs, require_version};
use crate::operations::{Actor, Error};
use crate::postgres::{self, query};
use crate::provisioning::BuildSpec;
use crate::provisioning::moving::{self, Carried, Move, read_layout};

/// How long somebody else's locks are waited for, in all and at a time. Those who come behind a wait for the tables wait, too.
/// The server ends an autovacuum that is in the way after `deadlock_timeout`, one second.
const PATIENCE: Duration = Duration::from_mins(1);
const LOCK: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);
/// One side waits for the other one; what takes too long is ended by this program, which says so.
const IDLE: Duration = Duration::from_secs(10);

/// What was handed over.
pub(super) struct Copied {
    pub(super) tables: Vec<CopiedTable>,
    pub(super) locked_ms: u64,
}

/// Copies the rows and hands over. Tries again while somebody's locks are in the way; meanwhile it holds none itself.
pub(super) async fn hand_over(
    actor: &Actor,
    sides: Sides<'_>,
    build_spec: &BuildSpec,
    out: &Move,
    max_lock: Duration,
    tell: &mut impl FnMut(Step),
) -> Result<Copied, Error> {
    let started = Instant::now();
    loop {
        // Also where a connection falls silent. What was committed until then the next run reads from the records.
        let silent = max_lock + PATIENCE;
        let tried = timeout(silent, attempt(actor, sides, build_spec, out, max_lock)).await;
        match tried.unwrap_or_else(|_late| Err(MoveError::Silent(silent).into())) {
            Err(error) if is_busy(&error) => {
                let source = actor.client(sides.source).await?;
                let holders = moving::holders(&source, &out.prefix).await?;
                if started.elapsed() > PATIENCE {
                    return Err(MoveError::Busy(holders).into());
                }
                tell(Step::Busy(holders));
                tokio::time::sleep(PAUSE).await;
            }
            ended => return ended,
        }
    }
}

/// Whether a lock of somebody's is the reason.
fn is_busy(error: &Error) -> bool {
    let code = if let Error::Query(error) = error {
        error.code()
    } else if let Error::Provisioning(error) = error {
        error.code()
    } else {
        None
    };
    code.is_some_and(|code| {
        [SqlState::LOCK_NOT_AVAILABLE, SqlState::T_R_DEADLOCK_DETECTED].contains(code)
    })
}

async fn attempt(
    actor: &Actor,
    sides: Sides<'_>,
    build_spec: &BuildSpec,
    out: &Move,
    max_lock: Duration,
) -> Result<Copied, Error> {
    let mut target = actor.client(sides.target).await?;
    let mut source = actor.client(sides.source).await?;
    let there = begin(&mut target, max_lock).await?;
    let here = begin(&mut source, max_lock).await?;
    Move::lock(here.client(), &out.id, &["begun"]).await?;
    Move::lock(there.client(), &out.id, &["begun", "copied"]).await?;
    let coming = Move::find(there.client(), &out.id).await?.ok_or(MoveError::Swallowed)?;
    let to = read_layout(there.client(), &coming.tables, coming.agent, None).await?;
    let triggers = moving::empty(there.client(), &coming.tables, &to).await?;

    moving::lock_rows(here.client(), &out.prefix).await?;
    require_no_jobs(here.client(), &out.prefix).await?;
    let (leaving, from) =
        layout_of_source(here.client(), &out.prefix, Carried::All, &coming, &to).await?;
    if leaving.agent != out.agent {
        return Err(MoveError::NotBuilt(out.prefix.clone()).into());
    }
    require_version(&out.prefix, &leaving, build_spec.templates())?;
    require_same(&from, &to)?;
    let locked = Instant::now();
    let work = async {
        moving::lock_tables(here.client(), &from).await?;
        let tables = copy_rows(here.client(), &from, there.client(), &to).await?;
        let (source, target) = (here.client(), there.client());
        moving::complete(source, &leaving.tables, target, &coming.tables, &triggers).await?;
        let rows = tables.iter().map(|table| table.rows).sum();
        let copy = moving::copied(target, &out.id, rows, &leaving.carried).await?;
        let copy = copy.ok_or(MoveError::Swallowed)?;
        moving::rehearse(target, build_spec.templates(), &coming, &copy).await?;
        moving::hand_over(source, &out.id, &copy, rows, actor.name()).await?;
        Ok::<_, Error>(tables)
    };
    let tables = timeout(max_lock, work).await.map_err(|_late| MoveError::TooLong(max_lock))??;
    // The rows are there for good before the source says so. If the second commit fails, the copy is made anew.
    there.commit().await.map_err(query("keep the copy"))?;
    here.commit().await.map_err(query("hand the agent over"))?;
    let locked_ms = u64::try_from(locked.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Copied { tables, locked_ms })
}

/// A transaction in which nothing takes longer than writers may wait, and whose commit is on disk when it returns.
async fn begin(client: &mut Client, max_lock: Duration) -> Result<Transaction<'_>, Error> {
    let tx = postgres::begin(client).await.map_err(query("begin a transaction"))?;
    let most = max_lock.as_millis();
    let limits = format!(
        "set local statement_timeout = {most}; set local idle_in_transaction_session_timeout = {}; \
         set local lock_timeout = {}; \
         select pg_catalog.set_config('synchronous_commit', 'on', true) \
         where pg_catalog.current_setting('synchronous_commit') in ('off', 'local')",
        most + IDLE.as_millis(),
        LOCK.as_millis()
    );
    tx.batch_execute(&limits).await.map_err(query("begin a transaction"))?;
    Ok(tx)
}
