//! Brings the schema to this program's version, and knows when it is another's.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, Row, Transaction};

use super::migration::{MIGRATIONS, Migration};
use super::{ReadOnly, require_writable, settings};

const LEDGER: &str = include_str!("../../sql/migrations/ledger.sql");
const SHIM: &str = include_str!("../../sql/supabase_shim.sql");

/// Two programs that migrate at once take turns. The number only has to be ours.
const LOCK: i64 = 0x6167_656e_746d_6967;

/// How long others' locks are waited for in all, and the pause between two waits of 20 ms.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

/// Why the schema is not what this program needs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server refused.
    #[error("cannot {doing}")]
    Query {
        /// What was tried.
        doing: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// Nothing can be changed here.
    #[error(transparent)]
    ReadOnly(#[from] ReadOnly),
    /// Another program, newer than this one, was here.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: \
         install the agent-provisioner that made it, or a newer one"
    )]
    Newer {
        /// In the database.
        found: i32,
        /// In this program.
        known: i32,
    },
    /// Steps are missing.
    #[error(
        "the database has schema version {found}, this program needs {known}: \
         run `agent-provisioner migrate`, or see whether this role may read provisioning.migrations"
    )]
    Older {
        /// In the database.
        found: i32,
        /// In this program.
        known: i32,
    },
    /// A file is not the one that was applied.
    #[error(
        "migration {version} ({description}) was changed after it was applied here: \
         put the file back and write the change as a new migration"
    )]
    Changed {
        /// Of the migration.
        version: i32,
        /// Of the migration.
        description: &'static str,
    },
    /// There is no such version to go back to.
    #[error("there is no schema version {0} to go down to")]
    NoSuchVersion(i32),
    /// Going back would destroy something.
    #[error("going below version {version} loses the rows of {table}: repeat with --yes to do so")]
    LosesRows {
        /// Of the migration that would be taken back.
        version: i32,
        /// One that is not empty.
        table: &'static str,
    },
}

impl Error {
    /// Whether somebody else holds a lock.
    fn is_lock(&self) -> bool {
        matches!(self, Self::Query { source, .. } if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE))
    }
}

/// A migration and whether it is applied.
#[derive(Debug)]
pub struct Step {
    /// Of the migration.
    pub version: i32,
    /// Of the migration.
    pub description: &'static str,
    /// The sha256 of the file in this program, in hex.
    pub checksum: String,
    /// When it was applied here, RFC 3339 in UTC, and the checksum it had then.
    pub applied: Option<(String, String)>,
}

/// Adds the roles and the `auth` schema that Supabase has and plain PostgreSQL lacks: for
/// development and tests only, and only as a superuser. May run again.
pub async fn install_shim(client: &Client) -> Result<(), Error> {
    run(client, SHIM, "install the shim").await
}

/// Applies what is missing, in one transaction: all of it or none. Returns what was applied.
///
/// Others' locks are waited for briefly and seldom, for half a minute: whoever comes behind waits, too.
pub async fn migrate(client: &mut Client) -> Result<Vec<&'static Migration>, Error> {
    let started = Instant::now();
    loop {
        match apply(client).await {
            Err(error) if error.is_lock() && started.elapsed() < PATIENCE => sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn apply(client: &mut Client) -> Result<Vec<&'static Migration>, Error> {
    let tx = begin(client).await?;
    run(&tx, LEDGER, "prepare the ledger").await?;
    let steps = read(&tx).await?;
    check(&steps)?;
    let mut applied = Vec::new();
    for (migration, _) in MIGRATIONS.iter().zip(&steps).filter(|(_, step)| step.applied.is_none()) {
        run(&tx, migration.up, &format!("apply {migration}")).await?;
        run(&tx, &migration.entry(), "write the ledger").await?;
        applied.push(migration);
    }
    tx.commit().await.map_err(failed("commit"))?;
    Ok(applied)
}

/// Takes back everything above `to`, newest first, in one transaction. Waits as [`migrate`] does.
pub async fn down(
    client: &mut Client,
    to: i32,
    yes: bool,
) -> Result<Vec<&'static Migration>, Error> {
    let started = Instant::now();
    loop {
        match take_back(client, to, yes).await {
            Err(error) if error.is_lock() && started.elapsed() < PATIENCE => sleep(PAUSE).await,
            done => return done,
        }
    }
}

async fn take_back(
    client: &mut Client,
    to: i32,
    yes: bool,
) -> Result<Vec<&'static Migration>, Error> {
    if to != 0 && MIGRATIONS.iter().all(|migration| migration.version != to) {
        return Err(Error::NoSuchVersion(to));
    }
    let tx = begin(client).await?;
    let steps = read(&tx).await?;
    check(&steps)?;
    let mut undone = Vec::new();
    let applied = MIGRATIONS.iter().zip(&steps).filter(|(_, step)| step.applied.is_some());
    for (migration, _) in applied.rev().filter(|(migration, _)| migration.version > to) {
        if !yes {
            require_empty(&tx, migration).await?;
        }
        let forget = "delete from provisioning.migrations where version = $1";
        run(&tx, migration.down, &format!("take back {migration}")).await?;
        let forgotten = tx.execute_typed(forget, &[(&migration.version, Type::INT4)]).await;
        forgotten.map_err(failed("write the ledger"))?;
        undone.push(migration);
    }
    tx.commit().await.map_err(failed("commit"))?;
    Ok(undone)
}

/// Every migration that this program knows, and whether it is applied. Changes nothing.
pub async fn status(client: &mut Client) -> Result<Vec<Step>, Error> {
    let tx = client.transaction().await.map_err(failed("begin"))?;
    read(&tx).await
}

/// The version of the schema that this program knows.
pub fn schema_version() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Refuses a database that is not at exactly this program's version.
pub async fn require_current(client: &mut Client) -> Result<(), Error> {
    let steps = status(client).await?;
    check(&steps)?;
    let known = schema_version();
    let found = steps.iter().filter(|step| step.applied.is_some()).count();
    let found = i32::try_from(found).unwrap_or(i32::MAX);
    if found < known {
        return Err(Error::Older { found, known });
    }
    Ok(())
}

/// Every migration as one SQL script, for `psql -f` and `supabase db push`.
pub fn script() -> String {
    // Even where a role or database is read-only by default: who runs it wants it to write.
    let begin = "begin isolation level read committed read write;";
    let mut script = format!("{begin}\n\n{}\n{LEDGER}", settings::local());
    for migration in &MIGRATIONS {
        let entry = migration.entry();
        // Writing to a String cannot fail.
        let _ok = write!(script, "\n-- {migration}\n\n{}\n{entry}\n", migration.up);
    }
    script.push_str("\ncommit;\n");
    script
}

async fn require_empty(tx: &Transaction<'_>, migration: &Migration) -> Result<(), Error> {
    for table in migration.holds {
        let rows = tx.query_typed(&format!("select 1 from {table} limit 1"), &[]).await;
        if !rows.map_err(failed("look for rows"))?.is_empty() {
            return Err(Error::LosesRows { version: migration.version, table });
        }
    }
    Ok(())
}

/// Waits for another program's migration to end, but not for long on anybody's table.
async fn begin(client: &mut Client) -> Result<Transaction<'_>, Error> {
    require_writable(client).await?;
    let tx = super::begin(client).await.map_err(failed("begin"))?;
    run(&tx, "set local statement_timeout = 0; set local lock_timeout = '2min'", "begin").await?;
    lock(&tx).await?;
    run(&tx, "set local lock_timeout = '20ms'", "begin").await?;
    Ok(tx)
}

/// Anybody may take an advisory lock, so an error says who has it.
async fn lock(tx: &Transaction<'_>) -> Result<(), Error> {
    let held = "select format('wait for another migration, which backend %s of role %s seems to be at', a.pid, a.usename) \
                from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity a on a.pid = l.pid \
                where l.locktype = 'advisory' and l.objsubid = 1 and l.granted \
                and a.datname = current_database() \
                and (l.classid::bigint << 32) | l.objid::bigint = $1";
    let held = tx.query_typed(held, &[(&LOCK, Type::INT8)]).await;
    let held = held.map_err(failed("look for another migration"))?;
    let doing =
        held.first().map_or_else(|| "wait for another migration".to_owned(), |row| row.get(0));
    let locked = tx.execute_typed("select pg_advisory_xact_lock($1)", &[(&LOCK, Type::INT8)]).await;
    locked.map(drop).map_err(failed(doing))
}

async fn read(tx: &Transaction<'_>) -> Result<Vec<Step>, Error> {
    let there = "select to_regclass('provisioning.migrations') is not null";
    let there = tx.query_typed(there, &[]).await.map_err(failed("look for the ledger"))?;
    let mut applied: BTreeMap<i32, (String, String)> = BTreeMap::new();
    if there.iter().any(|row| row.get(0)) {
        let sql = "select version, coalesce(to_char(applied_at at time zone 'UTC', \
                   'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), applied_at::text), checksum \
                   from provisioning.migrations";
        let rows = tx.query_typed(sql, &[]).await.map_err(failed("read the ledger"))?;
        let entry = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        let entries: Result<_, _> = rows.iter().map(entry).collect();
        applied = entries.map_err(failed("read the ledger"))?;
    }
    let known = schema_version();
    if let Some(found) = applied.last_key_value().map(|(max, _)| *max).filter(|max| *max > known) {
        return Err(Error::Newer { found, known });
    }
    let step = |migration: &Migration| Step {
        version: migration.version,
        description: migration.description,
        checksum: migration.checksum(),
        applied: applied.get(&migration.version).cloned(),
    };
    Ok(MIGRATIONS.iter().map(step).collect())
}

/// A file that was changed after it was applied describes another database than this one.
fn check(steps: &[Step]) -> Result<(), Error> {
    let changed =
        |step: &&Step| step.applied.as_ref().is_some_and(|(_, was)| *was != step.checksum);
    match steps.iter().find(changed) {
        Some(step) => Err(Error::Changed { version: step.version, description: step.description }),
        None => Ok(()),
    }
}

async fn run(client: &impl GenericClient, sql: &str, doing: &str) -> Result<(), Error> {
    client.batch_execute(sql).await.map_err(failed(doing))
}

fn failed(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Query { doing, source }
}
