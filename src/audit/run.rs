//! One file on the shadow, as its authors would run it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use super::definition::Definition;
use super::error::Error;
use super::extension;
use super::files::SqlFile;
use super::script::{Extension, Script, statements};
use super::session::Session;
use crate::postgres::query;
use crate::sql_text::{Statement, in_quotes};

/// Roles that one file may name and that nothing makes, and statements that are left out.
const ROLES: usize = 50;

/// Why a file does not run.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) line: usize,
    /// Why, in the server's words.
    pub(super) message: String,
    pub(super) code: String,
    /// The text of the statement that failed.
    pub(super) statement: String,
}

/// What the shadow lacks and the files rely on.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    pub(super) roles: BTreeSet<String>,
    /// Extensions that are not there, and why.
    pub(super) extensions: BTreeMap<String, &'static str>,
    /// Statements that were left out as they take rights over the whole server, or such an extension.
    pub(super) left_out: Vec<LeftOut>,
}

/// A statement that did not run, and without which its file did.
#[derive(Debug)]
pub(super) struct LeftOut {
    pub(super) file: String,
    pub(super) line: usize,
    pub(super) statement: String,
    /// Why, in the server's words.
    pub(super) message: String,
}

impl LeftOut {
    /// What the statement would make by its words.
    pub(super) fn definition(&self) -> Option<Definition> {
        statements(&self.statement).first().and_then(Definition::of)
    }
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
    /// The statements that ran, by their numbers in the file.
    done: BTreeSet<usize>,
    /// What the server refused the last time, and its words.
    pub(super) refused: Vec<(String, String)>,
}

impl Pieces {
    pub(super) fn done(&self) -> usize {
        self.done.len()
    }
}

/// The two sessions by which files run in one database.
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

    /// Whether the server could not even read it.
    pub(super) fn is_no_sql(&self) -> bool {
        self.code == SqlState::SYNTAX_ERROR.code()
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
            root.make_role(&role).await?;
            stand_ins.roles.insert(role);
            session.begin_anew().await?;
            continue;
        }
        session.begin_anew().await?;
        let failure = tell(&session.client, file, script, said, failed.at).await;
        session.begin_anew().await?;
        if let Some(statement) = left_out(script, &failure, stand_ins) {
            let place = statement.at..statement.at + statement.text.len();
            script.take_out(place);
            let (file, Failure { line, statement, message, .. }) = (file.name.clone(), failure);
            let is_known = |it: &LeftOut| (&it.file, it.line) == (&file, line);
            if !stand_ins.left_out.iter().any(is_known) {
                stand_ins.left_out.push(LeftOut { file, line, statement, message });
            }
            continue;
        }
        return Ok(Err(failure));
    }
    let message =
        "it has too many roles that nothing makes, and statements that take a superuser's rights"
            .to_owned();
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
    for Extension { name, schema, .. } in &script.extensions {
        match extension::make(session, root, name, schema.as_deref()).await? {
            Ok(()) if name.ends_with("_fdw") => {
                // The platform lets its role use it.
                let grant =
                    format!("grant usage on foreign data wrapper {} to public", in_quotes(name));
                root.client.batch_execute(&grant).await.ok();
            }
            Ok(()) => {}
            Err(why) => {
                stand_ins.extensions.insert(name.clone(), why);
                extension::stand_in(root, name, schema.as_deref()).await?;
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

/// The statement that failed, where that is of no weight: it is about the whole server, or about an index or a table that
/// only an extension brings which is left out.
fn left_out<'s>(
    script: &'s Script,
    failure: &Failure,
    stand_ins: &StandIns,
) -> Option<Statement<'s>> {
    let all = statements(&script.sql);
    let statement = all.into_iter().find(|statement| statement.text == failure.statement)?;
    is_left_out(&statement, &failure.code, stand_ins).then_some(statement)
}

/// See [`left_out`]. `code` is the server's.
fn is_left_out(statement: &Statement<'_>, code: &str, stand_ins: &StandIns) -> bool {
    // Among them those that say that what was left out before is not there.
    let refused = ["42501", "42704", "3D000", "08001", "0A000", "58P01", "55000", "22023", "42602"];
    let of_server = [
        "alter database",
        "alter system",
        "create event trigger",
        "alter event trigger",
        "drop event trigger",
        "comment on event trigger",
        "create foreign data wrapper",
        "alter foreign data wrapper",
        "create server",
        "alter server",
        "grant usage on foreign server",
        "grant usage on foreign data wrapper",
        "create user mapping",
        "import foreign schema",
        "create foreign table",
        "create subscription",
    ];
    let sets_for_role = ["alter role", "alter user"].iter().any(|head| statement.starts_with(head))
        && statement.tokens().any(|token| token.is("set") || token.is("reset"));
    let is_about_server = sets_for_role || of_server.iter().any(|head| statement.starts_with(head));
    let makes_index =
        ["create index", "create unique index"].iter().any(|head| statement.starts_with(head));
    let needs_vector = makes_index
        && stand_ins.extensions.contains_key("vector")
        && statement.tokens().any(|token| token.is("hnsw") || token.is("ivfflat"));
    (is_about_server || needs_vector) && refused.contains(&code)
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
            root.make_role(&role).await?;
            ran = session.client.batch_execute(statement.text).await;
        }
        match ran {
            Ok(()) => {
                pieces.done.insert(number);
            }
            Err(error) => match error.as_db_error() {
                Some(said) if is_left_out(statement, said.code().code(), stand_ins) => {
                    pieces.done.insert(number);
                }
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
