//! One command on many databases: a canary, then the others side by side, and one report.

use std::cell::Cell;
use std::io::{self, Write, stderr};
use std::process::ExitCode;

use futures_util::StreamExt as _;
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use tracing::Instrument as _;

use super::databases::Options;
use super::output::{collect, stdout};
use super::table::print_json;
use super::{Command, Error, message, on_one};
use crate::config::{Config, DatabaseName};
use crate::telemetry::of_database;

/// How a command takes every database.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Whether JSON is wanted.
    pub json: bool,
    /// Whether it changes something: then the first failure is the last, unless more may fail.
    pub changes: bool,
}

/// What came of a command on every database, in the order in which they were taken.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct GroupReport {
    databases: Vec<OfDatabase>,
    /// The names of those whose exit code was 0.
    done: Vec<String>,
    /// The names of those whose exit code was another.
    failed: Vec<String>,
    /// The names of those that were left alone, since others had failed.
    not_begun: Vec<String>,
}

/// What came of it on one of them.
#[derive(Debug, JsonSchema, Serialize)]
struct OfDatabase {
    database: String,
    /// As the command alone would have ended. Null where it was not begun.
    exit_code: Option<u8>,
    /// Why it could not be done.
    error: Option<String>,
    /// What the command alone would have printed with `--json`.
    report: Option<serde_json::Value>,
    #[serde(skip)]
    text: String,
}

/// What has failed by now.
#[derive(Debug, Default)]
struct Failures {
    databases: Cell<usize>,
    agents: Cell<i64>,
}

/// Runs the command on each. The exit code is the highest of all, and 1 at least where one was not begun.
pub(super) async fn run(
    command: &Command,
    shape: Shape,
    options: &Options,
    all: Vec<(DatabaseName, Config)>,
) -> Result<ExitCode, Error> {
    let (failures, most) = (Failures::default(), options.max_failed(shape.changes));
    let one = |(name, config): (DatabaseName, Config)| {
        let failures = &failures;
        async move {
            let may_begin = failures.databases.get() <= most;
            let command = command.clone().for_many(failures.agents.get()).filter(|_| may_begin);
            let done = match command {
                Some(command) => on_database(command, shape, name, config, failures).await,
                None => OfDatabase::not_begun(&name),
            };
            if !shape.json {
                print(&done)?;
            }
            Ok::<_, io::Error>(done)
        }
    };
    let mut all = all.into_iter();
    let mut databases = Vec::new();
    if options.has_canary(shape.changes)
        && let Some(canary) = all.next()
    {
        let done = one(canary).await?;
        if done.exit_code != Some(0) {
            let left = all.by_ref().map(|(name, _)| OfDatabase::not_begun(&name));
            let left: Vec<_> = left.collect();
            databases.extend(left);
        }
        databases.insert(0, done);
    }
    let mut others = stream::iter(all.map(one)).buffered(options.parallel());
    while let Some(done) = others.next().await {
        databases.push(done?);
    }
    report(databases, shape.json)
}

async fn on_database(
    command: Command,
    shape: Shape,
    name: DatabaseName,
    config: Config,
    failures: &Failures,
) -> OfDatabase {
    let work = collect(name.clone(), Box::pin(on_one(command, config)));
    let (ended, written, failed_agents) = work.instrument(of_database(&name)).await;
    let (code, error) = match ended {
        Ok(code) if code == ExitCode::SUCCESS => (0, None),
        Ok(code) if code == ExitCode::from(2) => (2, None),
        Ok(_) => (1, None),
        Err(error) => (error.exit_code(), Some(message(&error))),
    };
    failures.databases.set(failures.databases.get() + usize::from(code != 0));
    failures.agents.set(failures.agents.get() + failed_agents);
    let report = if shape.json { serde_json::from_slice(&written).ok() } else { None };
    let text = String::from_utf8_lossy(&written).into_owned();
    OfDatabase { database: name.to_string(), exit_code: Some(code), error, report, text }
}

impl OfDatabase {
    fn not_begun(name: &DatabaseName) -> Self {
        let (exit_code, error, report, text) = (None, None, None, String::new());
        Self { database: name.to_string(), exit_code, error, report, text }
    }
}

fn print(done: &OfDatabase) -> io::Result<()> {
    if done.exit_code.is_some() {
        writeln!(stdout(), "== {} ==\n{}", done.database, done.text.trim_end_matches('\n'))?;
    }
    if let Some(error) = &done.error {
        writeln!(stderr(), "{}: {error}", done.database)?;
    }
    Ok(())
}

fn report(databases: Vec<OfDatabase>, json: bool) -> Result<ExitCode, Error> {
    let named = |wanted: &dyn Fn(Option<u8>) -> bool| -> Vec<String> {
        let these = databases.iter().filter(|it| wanted(it.exit_code));
        these.map(|it| it.database.clone()).collect()
    };
    let done = named(&|code| code == Some(0));
    let failed = named(&|code| code.is_some_and(|code| code > 0));
    let not_begun = named(&|code| code.is_none());
    let worst = databases.iter().map(|it| it.exit_code.unwrap_or(1)).max().unwrap_or(0);
    if json {
        print_json(&mut stdout(), &GroupReport { databases, done, failed, not_begun })?;
        return Ok(ExitCode::from(worst));
    }
    for (what, names) in [("done", done), ("failed", failed), ("not begun", not_begun)] {
        if !names.is_empty() {
            writeln!(stdout(), "{what}: {}", names.join(", "))?;
        }
    }
    Ok(ExitCode::from(worst))
}
