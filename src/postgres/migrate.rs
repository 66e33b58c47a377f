//! Brings the schema to this program's version, and knows when it is another's.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, GenericClient, Row, Transaction};

use super::migration::{MIGRATIONS, Migration};
use super::read_only::{ReadOnly, require_writable};
use super::repeatable::{DOWN, REPEATABLES, Repeatable};
use super::session_settings;

const LEDGER: &str = include_str!("../../sql/migrations/ledger.sql");
/// What follows an upgrade, once the repeatable files have run.
const AFTER: &str = include_str!("../../sql/migrations/after.sql");
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
    /// Somebody else's lock was in the way for half a minute.
    #[error("gave way to others' locks for {}s: {}", PATIENCE.as_secs(), if holders.is_empty() {
        "no session holds one any more, so try again".to_owned()
    } else {
        holders.join("; ")
    })]
    Locked {
        /// Sessions and prepared transactions, each with the statement that ends it.
        holders: Vec<String>,
        /// The last try.
        #[source]
        source: Box<Self>,
    },
    /// The server is no Supabase project.
    #[error(
        "the database lacks what Supabase has: {}. On Supabase connect to the project's own database. On plain PostgreSQL, \
         for development and tests, run `agent-provisioner migrate --shim` as a superuser", .0.join(", ")
    )]
    NoSupabase(Vec<String>),
    /// The tables are there, and the ledger says nothing of them.
    #[error(
        "the tables of schema provisioning are there, and provisioning.migrations is empty, as after a restore without \
         data: run `agent-provisioner migrate baseline`"
    )]
    Unrecorded,
    /// The schema is there, under another name.
    #[error("schema provisioning was renamed to {schema}; as {owner} run: {statement}")]
    Renamed {
        /// Its name now, quoted.
        schema: String,
        /// Its owner, quoted.
        owner: String,
        /// Gives it its name again.
        statement: String,
    },
    /// What is read as the ledger is none, and reading it would run somebody's code.
    #[error(
        "{object} belongs to role {owner}: it has to belong to {trusted} or to a superuser, and to be a plain table"
    )]
    Foreign {
        /// With its kind.
        object: String,
        /// Quoted.
        owner: String,
        /// Quoted.
        trusted: String,
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
    /// The tables are this program's, and what works on them is not.
    #[error(
        "{} in the database {} not this program's: run `agent-provisioner migrate`, or see whether this role may read \
         provisioning.repeatables", .0.join(", "), if .0.len() == 1 { "is" } else { "are" }
    )]
    OtherRepeatables(Vec<&'static str>),
    /// Another program, newer than this one, was here.
    #[error(
        "the functions and policies in the database are those of agent-provisioner {found}, this is {}: install \
         that one, or a newer one", env!("CARGO_PKG_VERSION")
    )]
    NewerProgram {
        /// Its version.
        found: String,
    },
    /// There is no such version to go back to.
    #[error("there is no schema version {0}")]
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
    /// Whether `create or replace` found something else that it cannot replace.
    fn is_in_the_way(&self) -> bool {
        let codes = [
            SqlState::INVALID_FUNCTION_DEFINITION,
            SqlState::WRONG_OBJECT_TYPE,
            SqlState::INVALID_TABLE_DEFINITION,
            SqlState::DUPLICATE_OBJECT,
        ];
        matches!(self, Self::Query { source, .. } if source.code().is_some_and(|code| codes.contains(code)))
    }

    /// Whether somebody else holds a lock.
    pub(crate) fn is_lock(&self) -> bool {
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

/// A repeatable file and whether it is applied.
#[derive(Debug)]
pub struct File {
    /// Of the file.
    pub name: &'static str,
    /// The sha256 of the file in this program, in hex.
    pub checksum: String,
    /// When it was applied here last, RFC 3339 in UTC, and the checksum it had then.
    pub applied: Option<(String, String)>,
}

impl File {
    fn is_current(&self) -> bool {
        self.applied.as_ref().is_some_and(|(_, was)| *was == self.checksum)
    }
}

/// What was applied.
#[derive(Clone, Copy, Debug)]
pub enum Applied {
    /// Once and for all.
    Migration(&'static Migration),
    /// Until it changes.
    Repeatable(&'static Repeatable),
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Migration(migration) => migration.fmt(f),
            Self::Repeatable(file) => file.fmt(f),
        }
    }
}

/// Adds the roles and the `auth` schema that Supabase has and plain PostgreSQL lacks: for
/// development and tests only, and only as a superuser. May run again.
pub async fn install_shim(client: &Client) -> Result<(), Error> {
    run(client, SHIM, "install the shim").await
}

/// Applies what is missing or, of the repeatable files, has changed: all of it or none. Returns what was applied.
///
/// Others' locks are waited for briefly and seldom, for half a minute: whoever comes behind waits, too.
pub async fn migrate(client: &mut Client) -> Result<Vec<Applied>, Error> {
    patiently(client, apply).await
}

/// Tries again while somebody else holds a lock, for half a minute. Then the error names who does.
pub(crate) async fn patiently<T>(
    client: &mut Client,
    mut attempt: impl AsyncFnMut(&mut Client) -> Result<T, Error>,
) -> Result<T, Error> {
    let started = Instant::now();
    loop {
        match attempt(client).await {
            Err(error) if !error.is_lock() => return Err(error),
            Err(_) if started.elapsed() < PATIENCE => sleep(PAUSE).await,
            Err(error) => {
                let sql = include_str!("../../sql/postgres/migrate_lock_holders.sql");
                let rows = client.query_typed(sql, &[]).await.map_err(failed("look for locks"))?;
                let holders = rows.iter().map(|row| row.get(0)).collect();
                return Err(Error::Locked { holders, source: Box::new(error) });
            }
            done => return done,
        }
    }
}

async fn apply(client: &mut Client) -> Result<Vec<Applied>, Error> {
    let tx = begin(client).await?;
    require_supabase(&tx).await?;
    let steps = prepare(&tx).await?;
    if steps.iter().all(|step| step.applied.is_none()) && has_tables(&tx).await? {
        return Err(Error::Unrecorded);
    }
    let files = read_files(&tx).await?;
    let mut applied = Vec::new();
    for (migration, _) in MIGRATIONS.iter().zip(&steps).filter(|(_, step)| step.applied.is_none()) {
        run(&tx, migration.up, &format!("apply {migration}")).await?;
        run(&tx, &migration.entry(), "write the ledger").await?;
        applied.push(Applied::Migration(migration));
    }
    let upgraded = !applied.is_empty();
    // A new table is everybody's until the files have run, and a new function until the grants have.
    let any = files.iter().any(|file| !file.is_current());
    for (file, was) in REPEATABLES.iter().zip(&files) {
        if upgraded || !was.is_current() || file.is_grants() && any {
            run_file(&tx, file).await?;
            applied.push(Applied::Repeatable(file));
        }
    }
    if upgraded {
        run(&tx, AFTER, "finish the upgrade").await?;
    }
    tx.commit().await.map_err(failed("commit"))?;
    Ok(applied)
}

/// Takes back everything above `to`, newest first, in one transaction, and before it what the repeatable files made.
/// Waits as [`migrate`] does.
pub async fn down(
    client: &mut Client,
    to: i32,
    yes: bool,
) -> Result<Vec<&'static Migration>, Error> {
    patiently(client, async |client: &mut Client| take_back(client, to, yes).await).await
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
    let mut above = applied.rev().filter(|(migration, _)| migration.version > to).peekable();
    if above.peek().is_some() {
        if yes {
            run(&tx, "set local provisioning.lose_rows = 'on'", "begin").await?;
        }
        run(&tx, DOWN, "take back what the repeatable files made").await?;
        let forget = "delete from provisioning.repeatables";
        run(&tx, forget, "write the ledger").await?;
    }
    for (migration, _) in above {
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

/// Every repeatable file of this program, and whether it is applied. Changes nothing.
pub async fn files(client: &mut Client) -> Result<Vec<File>, Error> {
    let tx = client.transaction().await.map_err(failed("begin"))?;
    read_files(&tx).await
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
    let files = files(client).await?;
    let others: Vec<_> =
        files.iter().filter(|file| !file.is_current()).map(|file| file.name).collect();
    if others.is_empty() { Ok(()) } else { Err(Error::OtherRepeatables(others)) }
}

/// The migrations above `after`, the repeatable files and what records them, as one SQL script for `psql` and
/// `supabase db push`. It refuses a database that is at another version.
pub fn script(after: i32) -> Result<String, Error> {
    if !(0..=schema_version()).contains(&after) {
        return Err(Error::NoSuchVersion(after));
    }
    // Even where a role or database is read-only by default: who runs it wants it to write.
    let begin = "begin isolation level read committed read write;";
    let mut script = format!("{begin}\n\n{}\n{LEDGER}\n", session_settings::local());
    let at = include_str!("../../sql/migrations/require_version.sql");
    script.push_str(&at.replace("{version}", &after.to_string()));
    // Writing to a String cannot fail.
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > after) {
        let _ok = write!(script, "\n-- {migration}\n\n{}\n{}\n", migration.up, migration.entry());
    }
    for file in &REPEATABLES {
        let _ok = write!(script, "\n-- {file}\n\n{}\n{}\n", file.entry(), file.sql);
    }
    if after < schema_version() {
        let _ok = write!(script, "\n{AFTER}");
    }
    script.push_str("\ncommit;\n");
    Ok(script)
}

/// Refuses a database whose schema `provisioning` has another name: a second one would know none of its agents.
async fn require_name(tx: &Transaction<'_>) -> Result<(), Error> {
    let sql = include_str!("../../sql/postgres/renamed_schema.sql");
    let rows = tx.query_typed(sql, &[]).await.map_err(failed("look for a renamed schema"))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let [schema, owner, statement] = ["schema", "owner", "statement"].map(|name| row.get(name));
    Err(Error::Renamed { schema, owner, statement })
}

/// Makes the ledger where it is missing, and reads it.
pub(crate) async fn prepare(tx: &Transaction<'_>) -> Result<Vec<Step>, Error> {
    require_name(tx).await?;
    // Without the right to create schemas, an existing one fails as well.
    let sql = "select format('prepare the ledger as %I: log in as %I, who owns schema provisioning', current_user, \
               r.rolname) from pg_catalog.pg_namespace n join pg_catalog.pg_roles r on r.oid = n.nspowner \
               where n.nspname = 'provisioning' and r.rolname <> current_user";
    let owner = tx.query_typed(sql, &[]).await.map_err(failed("look for the ledger"))?;
    let owner: Option<String> = owner.first().map(|row| row.get(0));
    if let Err(mut error) = run(tx, LEDGER, "prepare the ledger").await {
        if let (Error::Query { doing, source }, Some(owner)) = (&mut error, owner) {
            let refused = |error: &DbError| error.message().starts_with("permission denied");
            if source.as_db_error().is_some_and(refused) {
                *doing = owner;
            }
        }
        return Err(error);
    }
    let steps = read(tx).await?;
    check(&steps)?;
    Ok(steps)
}

/// Whether the ledger has every repeatable file as this program knows it.
pub(crate) async fn are_files_current(tx: &Transaction<'_>) -> Result<bool, Error> {
    Ok(read_files(tx).await?.iter().all(File::is_current))
}

/// Runs the repeatable files that lock tables, or those that do not. A file is left out where an object of another kind
/// or shape is in its way.
pub(crate) async fn run_files(tx: &Transaction<'_>, locks: bool) -> Result<(), Error> {
    for file in REPEATABLES.iter().filter(|file| file.locks == locks) {
        match apart(tx, run_file(tx, file)).await? {
            Err(error) if !error.is_in_the_way() => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Undoes what failed, and nothing else.
pub(crate) async fn apart(
    tx: &Transaction<'_>,
    work: impl Future<Output = Result<(), Error>>,
) -> Result<Result<(), Error>, Error> {
    run(tx, "savepoint apart", "begin").await?;
    let done = work.await;
    let end = if done.is_ok() { "release apart" } else { "rollback to apart; release apart" };
    run(tx, end, "undo what failed").await?;
    Ok(done)
}

async fn run_file(tx: &Transaction<'_>, file: &Repeatable) -> Result<(), Error> {
    // The entry first: files that lock tables are the last.
    let sql = format!("{}\n{}", file.entry(), file.sql);
    run(tx, &sql, &format!("apply {file}")).await
}

/// Enters what this program knows into the ledger, and runs nothing.
pub(crate) async fn record(tx: &Transaction<'_>, steps: &[Step]) -> Result<(), Error> {
    let missing = MIGRATIONS.iter().zip(steps).filter(|(_, step)| step.applied.is_none());
    let entries = missing.map(|(migration, _)| migration.entry());
    let entries: Vec<_> = entries.chain(REPEATABLES.iter().map(Repeatable::entry)).collect();
    run(tx, &entries.join("\n"), "write the ledger").await
}

async fn require_supabase(tx: &Transaction<'_>) -> Result<(), Error> {
    let sql = "select n from unnest('{anon,authenticated,service_role}'::text[]) r (n) \
               where to_regrole(n) is null \
               union all select 'auth.users' where to_regclass('auth.users') is null \
               union all select 'auth.uid()' where to_regprocedure('auth.uid()') is null";
    let rows = tx.query_typed(sql, &[]).await.map_err(failed("look for Supabase's roles"))?;
    let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::NoSupabase(missing)) }
}

async fn has_tables(tx: &Transaction<'_>) -> Result<bool, Error> {
    let there = "select to_regclass('provisioning.jobs') is not null";
    let there = tx.query_typed(there, &[]).await.map_err(failed("look for tables"))?;
    Ok(there.iter().any(|row| row.get(0)))
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
pub(crate) async fn begin(client: &mut Client) -> Result<Transaction<'_>, Error> {
    require_writable(client).await?;
    let tx = super::begin(client).await.map_err(failed("begin"))?;
    run(&tx, "set local statement_timeout = 0; set local lock_timeout = '2min'", "begin").await?;
    lock(&tx).await?;
    // A file that locks tables gives up at once, too: to wait is up to whoever rolls back meanwhile.
    let brief = "set local lock_timeout = '20ms'; set local provisioning.wait_for_locks = 'off'";
    run(&tx, brief, "begin").await?;
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
    let there = has_ledger(tx, "migrations").await?;
    let mut applied: BTreeMap<i32, (String, String)> = BTreeMap::new();
    if there {
        let sql = "select version, coalesce(to_char(applied_at at time zone 'UTC', \
                   'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), applied_at::text), checksum \
                   from provisioning.migrations";
        let rows = tx.query_typed(sql, &[]).await.map_err(failed("read the ledger"))?;
        let entry = |row: &Row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)));
        let entries: Result<_, _> = rows.iter().map(entry).collect();
        applied = entries.map_err(failed("read the ledger"))?;
    } else {
        require_name(tx).await?;
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

/// Whether a table of the ledger is there. Refuses one that would run its owner's code when it is read.
async fn has_ledger(tx: &Transaction<'_>, table: &str) -> Result<bool, Error> {
    let sql = include_str!("../../sql/postgres/ledger_table.sql");
    let found = tx.query_typed(sql, &[(&table, Type::TEXT)]).await;
    let found = found.map_err(failed("look for the ledger"))?;
    let Some(row) = found.first() else { return Ok(false) };
    if row.get("is_plain") {
        return Ok(true);
    }
    Err(Error::Foreign {
        object: row.get("object"),
        owner: row.get("owner"),
        trusted: row.get("trusted"),
    })
}

async fn read_files(tx: &Transaction<'_>) -> Result<Vec<File>, Error> {
    let mut rows = Vec::new();
    if has_ledger(tx, "repeatables").await? {
        let sql = "select name, coalesce(to_char(applied_at at time zone 'UTC', \
                   'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), applied_at::text), checksum, program \
                   from provisioning.repeatables";
        rows = tx.query_typed(sql, &[]).await.map_err(failed("read the ledger"))?;
    }
    let mut applied: BTreeMap<String, (String, String)> = BTreeMap::new();
    for row in &rows {
        let entry = || Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?));
        let (name, at, checksum, program): (_, _, _, String) =
            entry().map_err(failed("read the ledger"))?;
        if release(&program) > release(env!("CARGO_PKG_VERSION")) {
            return Err(Error::NewerProgram { found: program });
        }
        applied.insert(name, (at, checksum));
    }
    let file = |file: &Repeatable| File {
        name: file.name,
        checksum: file.checksum(),
        applied: applied.get(file.name).cloned(),
    };
    Ok(REPEATABLES.iter().map(file).collect())
}

/// A version's numbers, which order it.
fn release(version: &str) -> Vec<u32> {
    version.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect()
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

pub(crate) async fn run(client: &impl GenericClient, sql: &str, doing: &str) -> Result<(), Error> {
    client.batch_execute(sql).await.map_err(failed(doing))
}

fn failed(doing: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Query { doing, source }
}
