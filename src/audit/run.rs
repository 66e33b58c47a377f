//! One file on the shadow, as its authors would run it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use super::error::Error;
use super::extension;
use super::files::SqlFile;
use super::script::{Script, statements};
use super::session::Session;
use crate::postgres::query;
use crate::sql_text::in_quotes;

/// Roles that one file may name and that nothing makes.
const ROLES: usize = 20;

/// Extensions that may be left out: nothing breaks but what calls them, and that has stand-ins or is told.
const HARMLESS: [&str; 14] = [
    "pg_cron",
    "pg_net",
    "pg_graphql",
    "pg_stat_statements",
    "pgsodium",
    "supabase_vault",
    "plpgsql_check",
    "pgaudit",
    "pg_stat_monitor",
    "hypopg",
    "index_advisor",
    "pgjwt",
    "http",
    "wrappers",
];

/// Why a file does not run.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) line: usize,
    /// In the server's words.
    pub(super) message: String,
    pub(super) code: String,
    /// The statement.
    pub(super) statement: String,
}

/// What the shadow lacks and the files rely on.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    pub(super) roles: BTreeSet<String>,
    /// Why each is not there.
    pub(super) extensions: BTreeMap<String, &'static str>,
}

/// A file on the shadow. One that cannot run in one transaction goes on where it failed.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Statements that were run by themselves.
    done: usize,
    single: bool,
    /// Schemas that were made before the file, for extensions.
    schemas: BTreeSet<String>,
}

/// A file of which each statement runs by itself.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    progress: Progress,
    /// Numbers of statements.
    done: BTreeSet<usize>,
    /// What the server refused the last time, and its words.
    pub(super) refused: Vec<(String, String)>,
}

impl Pieces {
    pub(super) fn done(&self) -> usize {
        self.done.len()
    }
}

/// Two sessions in one database.
#[derive(Debug)]
pub(super) struct Sessions {
    /// Of the role that runs the files.
    pub(super) session: Session,
    /// Makes what the platform would: extensions, roles.
    pub(super) root: Session,
    /// How long a file may take.
    pub(super) limit: Duration,
}

impl Sessions {
    /// Does something with what is in files. If that takes longer than they may, or ends the session, the session is opened
    /// anew, and the error is why, in words.
    pub(super) async fn within_limit<T>(
        &mut self,
        work: impl AsyncFnOnce(&Session, &Session) -> Result<T, Error>,
    ) -> Result<Result<T, String>, Error> {
        let why = match timeout(self.limit, work(&self.session, &self.root)).await {
            Ok(Ok(done)) => return Ok(Ok(done)),
            Ok(Err(_)) if self.session.client.is_closed() => "it ends its session".to_owned(),
            Ok(Err(error)) => return Err(error),
            Err(_) => format!("it does not end within {} seconds", self.limit.as_secs()),
        };
        self.session.replace(&self.root).await?;
        Ok(Err(why))
    }

    /// Runs a file, in one transaction if it can be.
    pub(super) async fn run(
        &mut self,
        file: &SqlFile,
        progress: &mut Progress,
        stand_ins: &mut StandIns,
    ) -> Result<Result<(), Failure>, Error> {
        let mut script = Script::of(&file.text);
        let ran = self
            .within_limit(async |session, root| {
                run(session, root, file, &mut script, progress, stand_ins).await
            })
            .await?;
        Ok(ran.unwrap_or_else(|why| Err(Failure::of_limit(why, &script, progress))))
    }

    /// Runs the statements of a file that does not run as a whole, each by itself, but those that are done. What the server
    /// refuses is left out.
    pub(super) async fn run_pieces(
        &mut self,
        file: &SqlFile,
        pieces: &mut Pieces,
        stand_ins: &mut StandIns,
    ) -> Result<(), Error> {
        let mut script = Script::of(&file.text);
        let in_time = self
            .within_limit(async |session, root| {
                run_pieces(session, root, &mut script, pieces, stand_ins).await
            })
            .await?;
        if let Err(why) = in_time {
            pieces.refused = vec![(file.text.clone(), why)];
        }
        Ok(())
    }

    /// Returns when both sessions are closed.
    pub(super) async fn close(self) {
        self.session.close().await;
        self.root.close().await;
    }
}

impl Failure {
    /// Where statements ran by themselves the statement is known.
    fn of_limit(message: String, script: &Script, progress: &Progress) -> Self {
        let all = statements(&script.sql);
        let at = all.get(progress.done).filter(|_| progress.single);
        Self {
            line: at.map_or(1, |statement| statement.line),
            message,
            code: SqlState::QUERY_CANCELED.code().to_owned(),
            statement: at.map(|statement| statement.text.to_owned()).unwrap_or_default(),
        }
    }

    /// Whether it took too long, and would again.
    pub(super) fn is_final(&self) -> bool {
        self.code == SqlState::QUERY_CANCELED.code()
    }
}

async fn run(
    session: &Session,
    root: &Session,
    file: &SqlFile,
    script: &mut Script,
    progress: &mut Progress,
    stand_ins: &mut StandIns,
) -> Result<Result<(), Failure>, Error> {
    prepare(session, root, script, progress, stand_ins).await?;
    for _ in 0..ROLES {
        let failed = match attempt(&session.client, script, progress).await {
            Ok(()) => return Ok(Ok(())),
            Err(failed) => failed,
        };
        let Some(said) = failed.error.as_db_error() else {
            return Err(query("run a file on the shadow")(failed.error).into());
        };
        if let Some(role) = missing_role(said) {
            make_role(&root.client, &role).await?;
            stand_ins.roles.insert(role);
            session.begin_anew().await?;
            continue;
        }
        session.begin_anew().await?;
        let failure = tell(&session.client, file, script, said, failed.at).await;
        session.begin_anew().await?;
        return Ok(Err(failure));
    }
    let message = "it names too many roles that nothing makes".to_owned();
    Ok(Err(Failure { line: 1, message, code: String::new(), statement: String::new() }))
}

/// What the platform would make before the file: its schemas and extensions.
async fn prepare(
    session: &Session,
    root: &Session,
    script: &mut Script,
    progress: &mut Progress,
    stand_ins: &mut StandIns,
) -> Result<(), Error> {
    session.begin_anew().await?;
    make_schemas(&session.client, script, progress).await?;
    for wanted in &script.extensions {
        let made = extension::make(session, root, &wanted.name, wanted.schema.as_deref()).await?;
        if let Err(why) = made {
            stand_ins.extensions.insert(wanted.name.clone(), why);
            if is_harmless(&wanted.name) {
                let stubs = include_str!("../../sql/audit/stub_extensions.sql");
                let made = root.client.batch_execute(stubs).await;
                made.map_err(query("stand in for an extension"))?;
            }
        }
    }
    Ok(())
}

/// The schemas that the file makes for extensions, which are made before it. One that is there is left to the file.
async fn make_schemas(
    client: &Client,
    script: &mut Script,
    progress: &mut Progress,
) -> Result<(), Error> {
    for (name, place) in script.schemas.clone() {
        if !progress.schemas.contains(&name) {
            let sql = script.sql.get(place.clone()).unwrap_or_default();
            match client.batch_execute(sql).await {
                Ok(()) => progress.schemas.insert(name),
                Err(error) if error.as_db_error().is_some() => continue,
                Err(error) => return Err(query("make a schema on the shadow")(error).into()),
            };
        }
        script.take_out(place);
    }
    Ok(())
}

async fn run_pieces(
    session: &Session,
    root: &Session,
    script: &mut Script,
    pieces: &mut Pieces,
    stand_ins: &mut StandIns,
) -> Result<(), Error> {
    prepare(session, root, script, &mut pieces.progress, stand_ins).await?;
    pieces.refused.clear();
    let sql = script.within_transaction();
    for (number, statement) in statements(&sql).iter().enumerate() {
        let is_setting = statement.starts_with("set");
        if pieces.done.contains(&number) && !is_setting {
            continue;
        }
        let mut ran = session.client.batch_execute(statement.text).await;
        if let Err(error) = &ran
            && let Some(role) = error.as_db_error().and_then(missing_role)
        {
            make_role(&root.client, &role).await?;
            ran = session.client.batch_execute(statement.text).await;
        }
        match ran {
            Ok(()) => {
                pieces.done.insert(number);
            }
            Err(error) => match error.as_db_error() {
                Some(said) => {
                    pieces.refused.push((statement.text.to_owned(), said.message().to_owned()));
                }
                None => return Err(query("run a statement on the shadow")(error).into()),
            },
        }
    }
    Ok(())
}

struct Failed {
    error: tokio_postgres::Error,
    /// The statement, where it ran by itself.
    at: Option<usize>,
}

async fn attempt(client: &Client, script: &Script, progress: &mut Progress) -> Result<(), Failed> {
    if !progress.single {
        match client.batch_execute(&script.sql).await {
            Ok(()) => return close(client).await,
            Err(error) if !needs_no_transaction(&error) => return Err(Failed { error, at: None }),
            Err(_) => {
                progress.single = true;
                client
                    .batch_execute("rollback")
                    .await
                    .map_err(|error| Failed { error, at: None })?;
            }
        }
    }
    let all = statements(&script.sql);
    for (at, statement) in all.iter().enumerate().skip(progress.done) {
        if let Err(error) = client.batch_execute(statement.text).await {
            return Err(Failed { error, at: Some(at) });
        }
        progress.done = at + 1;
    }
    close(client).await
}

/// A file may have left its transaction open, as it would for psql, which then takes it back.
async fn close(client: &Client) -> Result<(), Failed> {
    client.batch_execute("rollback").await.map_err(|error| Failed { error, at: None })
}

/// Whether it says that something runs in no transaction, or only after one.
fn needs_no_transaction(error: &tokio_postgres::Error) -> bool {
    let codes = [&SqlState::ACTIVE_SQL_TRANSACTION, &SqlState::UNSAFE_NEW_ENUM_VALUE_USAGE];
    error.code().is_some_and(|code| codes.contains(&code))
}

fn missing_role(error: &DbError) -> Option<String> {
    if error.code() != &SqlState::UNDEFINED_OBJECT {
        return None;
    }
    let role = error.message().strip_prefix("role \"")?.strip_suffix("\" does not exist")?;
    Some(role.to_owned())
}

async fn make_role(root: &Client, role: &str) -> Result<(), Error> {
    let sql = format!("create role {}", in_quotes(role));
    root.batch_execute(&sql).await.map_err(query("make a role that files name"))?;
    Ok(())
}

/// Whether an extension that is left out takes nothing with it.
pub(super) fn is_harmless(extension: &str) -> bool {
    HARMLESS.contains(&extension)
}

/// Where it failed. Without a place in the server's answer, the statements are run one by one to find it.
async fn tell(
    client: &Client,
    file: &SqlFile,
    script: &Script,
    error: &DbError,
    at: Option<usize>,
) -> Failure {
    let all = statements(&script.sql);
    let place = match error.position() {
        Some(ErrorPosition::Original(place)) => usize::try_from(*place).ok(),
        Some(ErrorPosition::Internal { .. }) | None => None,
    };
    let mut index = at;
    if index.is_none() && place.is_none() {
        index = find(client, script, error).await;
    }
    // Counted in characters, from 1.
    let byte = |text: &str, place: usize| {
        text.char_indices().nth(place.saturating_sub(1)).map(|(byte, _)| byte)
    };
    let byte = match index.and_then(|index| all.get(index)) {
        Some(statement) => {
            statement.at + place.and_then(|place| byte(statement.text, place)).unwrap_or_default()
        }
        None => place.and_then(|place| byte(&script.sql, place)).unwrap_or_default(),
    };
    let statement = all.iter().rfind(|statement| statement.at <= byte);
    Failure {
        line: file.line_at(byte),
        message: error.message().to_owned(),
        code: error.code().code().to_owned(),
        statement: statement.map(|statement| statement.text.to_owned()).unwrap_or_default(),
    }
}

/// The statement that says the same when all run one by one. Nothing of it stays.
async fn find(client: &Client, script: &Script, error: &DbError) -> Option<usize> {
    let sql = script.within_transaction();
    client.batch_execute("begin").await.ok()?;
    let mut found = None;
    for (index, statement) in statements(&sql).iter().enumerate() {
        if let Err(failed) = client.batch_execute(statement.text).await {
            let same = failed.as_db_error().is_some_and(|said| said.message() == error.message());
            // What begins and ends transactions is no statement there.
            let at = statements(&script.sql).iter().position(|own| own.at == statement.at);
            found = same.then_some(at.unwrap_or(index));
            break;
        }
    }
    client.batch_execute("rollback").await.ok()?;
    found
}
