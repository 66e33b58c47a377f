//! The files of a project against its database: migrations run on a shadow, and what they make is compared. So are code and
//! documents.
//!
//! A database is only read, in one transaction. Everything else happens on the shadow.

mod agent_tables;
pub mod baseline;
mod bases;
mod causes;
mod checks;
mod claims;
pub mod code;
mod compare;
mod definition;
pub mod documents;
mod error;
mod extension;
mod files;
mod finding;
mod finish;
mod fix;
mod identity;
mod ignore;
mod item;
mod ledger;
mod links;
mod live;
mod makers;
mod markdown;
mod mask;
mod neutral;
mod order;
mod plan;
mod plan_order;
mod platform;
pub mod relations;
mod replay;
mod report;
mod rollback;
mod run;
mod sarif;
mod schema_state;
mod script;
mod session;
mod shadow;
mod similar;
mod sources;
mod violations;

use std::collections::HashSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

pub use agent_tables::{AgentTables, Error as AgentTablesError};
pub use baseline::Baseline;
pub use error::Error;
pub use finding::{Finding, Place, Severity};
pub use ignore::Ignores;
pub use markdown::markdown;
pub use relations::Relations;
pub use report::{Report, Status, Summary};
pub use sarif::sarif;

use crate::postgres::{Source, Timeouts};
use crate::schema::Key;
use crate::sql_text;
use crate::templates::Templates;
use causes::Faults;
use compare::Comparison;
use files::SqlFile;
use fix::Copy;
use live::Live;
use makers::Makers;
use plan::{Step, plan};
use replay::{Replay, replay};
use run::StandIns;
use script::Script;
use session::Session;
use shadow::Shadow;

/// What is compared.
#[derive(Debug, Default)]
pub struct Project {
    /// Directories of migrations, or files.
    pub migrations: Vec<PathBuf>,
    /// Directories of JavaScript and TypeScript.
    pub code: Vec<PathBuf>,
    /// Markdown files that describe tables.
    pub docs: Vec<PathBuf>,
    /// From which agents' tables are built.
    pub templates: Templates,
    /// Whether somebody has chosen them, and so has agents.
    pub has_own_templates: bool,
    /// An empty database for the shadow; `None`: a throwaway server.
    pub shadow: Option<SecretString>,
    /// Where to write what ends the differences.
    pub fix: Option<PathBuf>,
    /// How long a file may run; `None`: [`FILE_LIMIT`].
    pub file_limit: Option<Duration>,
}

/// Files that make a schema take seconds.
pub const FILE_LIMIT: Duration = Duration::from_mins(5);

/// Runs the files on a shadow, and compares what they make with a database, if there is one. That is only read.
///
/// Whatever comes, and also when it is told to stop, what was made on a shadow that stays is dropped before it returns.
pub async fn audit(
    project: &Project,
    database: Option<(Source, Timeouts)>,
    stop: &CancellationToken,
) -> Result<Report, Error> {
    let mut shadow = None;
    let work = Box::pin(run(project, database, &mut shadow));
    let done = stop.run_until_cancelled(work).await.unwrap_or(Err(Error::Stopped));
    let left = match shadow {
        Some(shadow) => shadow.end().await,
        None => Vec::new(),
    };
    let mut report = match done {
        Ok(report) => report,
        Err(error) => {
            for left in left {
                tracing::warn!("{left}");
            }
            return Err(error);
        }
    };
    report.findings.sort_by(|a, b| {
        let key = |it: &Finding| (std::cmp::Reverse(it.severity), it.kind, it.object.clone());
        key(a).cmp(&key(b))
    });
    report.unchecked.extend(left);
    report.unchecked.sort();
    report.unchecked.dedup();
    Ok(report)
}

/// All but the end of the shadow.
async fn run(
    project: &Project,
    database: Option<(Source, Timeouts)>,
    shadow: &mut Option<Shadow>,
) -> Result<Report, Error> {
    if project.is_empty() && database.is_none() {
        return Err(Error::Nothing);
    }
    let files::Found { files, unchecked } = files::read(&project.migrations)?;
    let session = match database {
        Some((source, timeouts)) => Some(Session::open(source, timeouts).await?),
        None => None,
    };
    let live = match &session {
        Some(session) => Some(Live::read(&session.client).await?),
        None => None,
    };
    let relations = match &session {
        Some(session) if project.has_sources() => Some(Relations::read(&session.client).await?),
        Some(_) | None => None,
    };
    let shadow = shadow.insert(Shadow::start(project.shadow.as_ref()).await?);
    shadow.prepare().await?;
    let report = Report { unchecked, ..Report::default() };
    let mut audit = Audit { files: &files, live, relations, report };
    audit.run(shadow, project).await?;
    if let Some(session) = session {
        live::end(&session.client).await?;
        session.close().await;
    }
    Ok(audit.report)
}

impl Project {
    fn has_sources(&self) -> bool {
        !self.code.is_empty() || !self.docs.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.migrations.is_empty() && !self.has_sources()
    }
}

struct Audit<'a> {
    files: &'a [SqlFile],
    live: Option<Live>,
    /// Of the database.
    relations: Option<Relations>,
    report: Report,
}

impl Audit<'_> {
    async fn run(&mut self, shadow: &mut Shadow, project: &Project) -> Result<(), Error> {
        if let Some(live) = &self.live {
            fix::default_privileges(shadow, live).await?;
            shadow.extend_base(&live.extensions).await?;
            if live.ledger.has_base_schema {
                shadow.migrate_base().await?;
            }
        } else {
            // As every project of Supabase has them.
            let own =
                ["pgcrypto", "uuid-ossp"].map(|name| (name.to_owned(), "extensions".to_owned()));
            shadow.extend_base(&own).await?;
        }
        let mut stand_ins = StandIns::default();
        let limit = project.file_limit.unwrap_or(FILE_LIMIT);
        let mut replay = replay(shadow, self.files, self.order(), &mut stand_ins, limit).await?;
        let files = self.files;
        let mut faults = None;
        if !replay.failures.is_empty() {
            let whole = replay::whole(shadow, files, &replay, &mut stand_ins, limit).await?;
            faults = Some(Faults::of(files, &replay, whole));
        }
        self.tell_stand_ins(&stand_ins);
        self.report.order = self.names(&replay.order);
        let makers_of = std::mem::take(&mut replay.makers);
        let makers = Makers { files, of: &makers_of };
        self.check(shadow, &replay, faults.as_ref(), &makers).await?;
        if let Some(live) = &self.live {
            if files.is_empty() {
                let text = "the database against migrations: there are none";
                self.report.unchecked.push(text.to_owned());
            } else {
                replay.state.as_of(live.version);
                if let Some(faults) = &mut faults {
                    faults.whole.state.as_of(live.version);
                }
                self.compare(shadow, &replay, faults.as_ref(), &makers, project).await?;
            }
        }
        self.sources(shadow, &replay, faults.as_ref(), project).await?;
        for rollback in &replay.rollbacks {
            if let rollback::Outcome::NotTried(why) = &rollback.outcome
                && let Some(file) = files.get(rollback.down)
            {
                self.report.unchecked.push(format!("whether {} leads back: {why}", file.name));
            }
        }
        Ok(())
    }

    /// The files that lead forward: first as the database has recorded them, then by number and name.
    fn order(&self) -> Vec<usize> {
        let forward = self.files.iter().enumerate().filter(|(_, file)| !file.takes_back);
        let mut order: Vec<usize> = forward.map(|(index, _)| index).collect();
        if let Some(live) = &self.live {
            live.ledger.order(self.files, &mut order);
        }
        order
    }

    fn names(&self, order: &[usize]) -> Vec<String> {
        order.iter().filter_map(|index| Some(self.files.get(*index)?.name.clone())).collect()
    }

    fn tell_stand_ins(&mut self, stand_ins: &StandIns) {
        for role in &stand_ins.roles {
            self.report.unchecked.push(format!(
                "what role {role} may do: no file makes it, so the shadow has one without rights"
            ));
        }
        let scripts: Vec<Script> = self.files.iter().map(|it| Script::of(&it.text)).collect();
        for (extension, why) in &stand_ins.extensions {
            let is_harmless = run::is_harmless(extension);
            // Its functions have names that say nothing.
            let is_used =
                extension == "pgjwt" || scripts.iter().any(|script| script.uses(extension));
            if is_harmless && !is_used {
                continue;
            }
            let how = if is_harmless { "; it was left out" } else { "; what needs it fails" };
            self.report.unchecked.push(format!("what extension {extension} brings: {why}{how}"));
        }
        for (file, script) in self.files.iter().zip(&scripts) {
            if let Some(line) = script.psql.first() {
                self.report
                    .unchecked
                    .push(format!("{}:{line}: commands of psql were left out", file.name));
            }
        }
    }

    /// Code and documents against the database, or else against what the files made.
    async fn sources(
        &mut self,
        shadow: &mut Shadow,
        replay: &Replay,
        faults: Option<&Faults<'_>>,
        project: &Project,
    ) -> Result<(), Error> {
        for file in self.files {
            let comments =
                sql_text::tokens(&file.text).filter(|it| it.kind == sql_text::Kind::Comment);
            self.report.ignores.read(&file.name, comments.map(|it| (it.line, it.text)));
        }
        if !project.has_sources() {
            return Ok(());
        }
        let is_live = self.relations.is_some();
        let of_files = async |database: &str| {
            let session = shadow.role_in(database).await?;
            let relations = Relations::read(&session.client).await;
            session.close().await;
            Ok::<_, Error>(relations?)
        };
        let mut relations = match self.relations.take() {
            Some(relations) => relations,
            None => of_files(&replay.database).await?,
        };
        let whole = faults.map(|faults| &faults.whole.database);
        let other = whole.or((is_live && !self.files.is_empty()).then_some(&replay.database));
        let of_files = match other {
            Some(database) => Some(of_files(database).await?),
            None => None,
        };
        if let Some(of_files) = &of_files {
            relations.hear_of_publications(of_files);
        }
        let has_base = self.live.as_ref().is_some_and(|live| live.ledger.has_base_schema);
        let known = sources::Known { relations, of_files, is_live, has_base, faults };
        sources::audit(project, &known, shadow, &mut self.report).await
    }

    /// What the files alone tell.
    async fn check(
        &mut self,
        shadow: &Shadow,
        replay: &Replay,
        faults: Option<&Faults<'_>>,
        makers: &Makers<'_>,
    ) -> Result<(), Error> {
        let session = shadow.role_in(&replay.database).await?;
        let root = shadow.root_in(&replay.database).await?;
        let known = self.live.as_ref().map_or(&replay.state, |live| &live.state);
        let is_live = self.live.is_some();
        let (conflicts, names) =
            bases::conflicts(&session.client, self.files, replay, known, is_live).await?;
        let nothing = ledger::Ledger::default();
        let ledger = self.live.as_ref().map_or(&nothing, |live| &live.ledger);
        let mut findings = order::findings(self.files, replay, ledger, &names);
        findings.extend(conflicts);
        let unchecked = &mut self.report.unchecked;
        let mut traps = bases::wrong_users(&replay.state, makers);
        traps.extend(checks::check(&session, &root, &replay.state, makers, unchecked).await?);
        if let Some(faults) = faults {
            faults.fold_files(replay, &mut findings);
            let state = &faults.whole.state;
            let session = shadow.role_in(&faults.whole.database).await?;
            let root = shadow.root_in(&faults.whole.database).await?;
            let mut with = bases::wrong_users(state, makers);
            with.extend(checks::check(&session, &root, state, makers, &mut Vec::new()).await?);
            faults.without_consequences(&mut traps, &causes::ids(&with), unchecked);
            session.close().await;
            root.close().await;
        }
        findings.extend(traps);
        self.report.findings.extend(findings);
        let list = |state: &schema_state::SchemaState, whose: &str| {
            let them = state.unmodelled.iter();
            them.map(|object| format!("{object} of {whose}: objects of its kind are not compared"))
                .collect::<Vec<_>>()
        };
        self.report.unchecked.extend(list(&replay.state, "the files"));
        if let Some(live) = &self.live {
            self.report.unchecked.extend(list(&live.state, "the database"));
            if live.of_agents > 0 {
                self.report.unchecked.push(format!(
                    "{} tables and types of agents against the files: `agents verify` compares them with the templates",
                    live.of_agents
                ));
            }
        }
        session.close().await;
        root.close().await;
        Ok(())
    }

    /// The database against what the files made.
    async fn compare(
        &mut self,
        shadow: &mut Shadow,
        replay: &Replay,
        faults: Option<&Faults<'_>>,
        makers: &Makers<'_>,
        project: &Project,
    ) -> Result<(), Error> {
        let Some(live) = &mut self.live else { return Ok(()) };
        // What is as the platform or this program's own base schema makes it is not the project's.
        let unchanged =
            replay.base.facts.keys().filter(|key| !replay.state.facts.contains_key(*key));
        live.state.without_keys(&unchanged.cloned().collect::<HashSet<Key>>());
        let mut copy = None;
        if live.version / 10_000 != shadow.version / 10_000 {
            let made = fix::rebuild(shadow, live, &replay.base).await?;
            let rewritten = fix::rewritten(&made, &live.state);
            self.report.unchecked.push(format!(
                "differences that only PostgreSQL {} and {} write differently: {} definitions of the database were \
                 compared as the shadow writes them",
                live.version / 10_000, shadow.version / 10_000, rewritten.len()
            ));
            for (key, definition) in rewritten {
                if let Some(fact) = live.state.facts.get_mut(&key) {
                    fact.definition = definition;
                }
            }
            copy = Some(made);
        }
        let comparison = Comparison::of(&replay.state, &live.state);
        let steps = plan(&comparison.differences, &replay.state, &live.default_grants);
        let claimed = order::claimed(self.files, replay);
        self.report.status = comparison.status();
        let mut findings = comparison.findings(makers, &steps, &claimed);
        if let Some(faults) = faults {
            let with = Comparison::of(&faults.whole.state, &live.state);
            let with = causes::ids(&with.findings(makers, &[], &claimed));
            faults.without_consequences(&mut findings, &with, &mut self.report.unchecked);
        }
        self.report.findings.extend(findings);
        self.fix(shadow, replay, project, copy, &steps).await
    }

    async fn fix(
        &mut self,
        shadow: &mut Shadow,
        replay: &Replay,
        project: &Project,
        copy: Option<Copy>,
        steps: &[Step],
    ) -> Result<(), Error> {
        let (Some(file), Some(live)) = (&project.fix, &self.live) else { return Ok(()) };
        let copy = match copy {
            Some(copy) => copy,
            None => fix::rebuild(shadow, live, &replay.base).await?,
        };
        for left in &copy.left {
            self.report
                .unchecked
                .push(format!("the fix against {left}; the copy of the schema lacks it"));
        }
        let fix = fix::prove(shadow, &copy, steps, &replay.state, &replay.base).await?;
        self.report.unchecked.extend(fix.unproven);
        // It may have secrets in it. One that is there keeps its mode.
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(true).mode(0o600);
        let written = open.open(file).and_then(|mut file| file.write_all(fix.sql.as_bytes()));
        written.map_err(|source| Error::Write(file.clone(), source))
    }
}
