//! The files of a project against its database: migrations run on a shadow, and what they make is compared. So are code and
//! documents.
//!
//! A database is only read, in one transaction. Everything else happens on the shadow.

mod against_database;
mod agent_tables;
mod auth_users;
pub mod baseline;
mod bases;
mod beginning;
mod causes;
mod checks;
mod claims;
pub mod code;
mod compare;
mod default_privileges;
mod definition;
pub mod documents;
mod error;
mod extension;
mod files;
mod finding;
mod finish;
mod fix;
mod foreign_ledger;
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
mod partitions;
mod plan;
mod plan_order;
mod platform;
pub mod relations;
mod renames;
mod replace;
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
mod step;
mod violations;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres::Client;
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
use crate::schema::Kind;
use crate::sql_text;
use crate::templates::Templates;
use bases::Contested;
use beginning::find_beginning;
use causes::{Consequence, Faults};
use definition::Definition;
use files::SqlFile;
use live::Live;
use makers::Makers;
use replay::{Replay, replay};
use run::{LeftOut, StandIns};
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
    let (mut live, mut relations, mut identity) = (None, None, None);
    if let Some(Session { client, .. }) = &session {
        let read = Box::pin(read(client, project)).await;
        (live, relations) = match read {
            Ok((live, relations)) => (Some(live), relations),
            Err(error) => return Err(live::explain(client, error).await),
        };
        identity = Some(live::identity(client).await?);
    }
    let started = Shadow::start(project.shadow.as_ref(), identity.as_deref()).await?;
    let shadow = shadow.insert(started);
    shadow.prepare().await?;
    let report = Report { unchecked, ..Report::default() };
    let mut audit = Audit {
        files: &files,
        live,
        relations,
        contested: Vec::new(),
        left_out: Vec::new(),
        stand_ins: Vec::new(),
        consequences: Vec::new(),
        report,
    };
    audit.run(shadow, project).await?;
    if let Some(session) = session {
        live::end(&session.client).await?;
        session.close().await;
    }
    Ok(audit.report)
}

/// Reads all that is compared of a database.
async fn read(client: &Client, project: &Project) -> Result<(Live, Option<Relations>), Error> {
    let live = Live::read(client).await?;
    let relations = if project.has_sources() { Some(Relations::read(client).await?) } else { None };
    Ok((live, relations))
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
    /// What the database has for code and documents to name.
    relations: Option<Relations>,
    /// Tables that files define differently.
    contested: Vec<Contested>,
    /// What statements would make that were left out.
    left_out: Vec<Definition>,
    /// Extensions that the shadow lacks, and the schemas that files make them in.
    stand_ins: Vec<(String, Option<String>)>,
    /// Differences that are told with others.
    consequences: Vec<Consequence>,
    report: Report,
}

impl Audit<'_> {
    async fn run(&mut self, shadow: &mut Shadow, project: &Project) -> Result<(), Error> {
        if let Some(live) = &self.live {
            shadow.make_roles(&live.roles).await?;
            beginning::set(&live.default_privileges, shadow).await?;
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
        let files = self.files;
        let order = self.order();
        let mut replay = replay(shadow, files, order, &[], &mut stand_ins, limit).await?;
        if let Some(live) = &self.live {
            self.run_deployed_base(shadow, live, &mut replay, &mut stand_ins).await?;
            find_beginning(shadow, files, live, &mut replay, &mut stand_ins).await?;
        }
        let mut faults = None;
        if !replay.failures.is_empty() {
            let whole = replay::whole(shadow, files, &replay, &mut stand_ins).await?;
            faults = Some(Faults::of(files, &replay, whole));
        }
        self.tell_stand_ins(&stand_ins);
        self.left_out = stand_ins.left_out.iter().filter_map(LeftOut::definition).collect();
        self.report.order = self.names(&replay.order);
        let makers_of = std::mem::take(&mut replay.makers);
        let makers = Makers { files, of: &makers_of };
        self.check(shadow, &replay, faults.as_ref(), &makers).await?;
        if let Some(live) = &self.live {
            if files.is_empty() {
                let text = "the database against migrations: there are none";
                self.report.unchecked.push(text.to_owned());
            } else {
                let whole = faults.as_mut().map(|faults| &mut faults.whole.state);
                for state in [Some(&mut replay.state), whole].into_iter().flatten() {
                    state.as_of(live.version);
                    state.miss_publications(&replay.base, &live.state);
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

    /// Where a file does not run since another one has made its tables, and the database has its tables, runs that file
    /// before the other one.
    async fn run_deployed_base(
        &self,
        shadow: &mut Shadow,
        live: &Live,
        replay: &mut Replay,
        stand_ins: &mut StandIns,
    ) -> Result<(), Error> {
        if replay.failures.is_empty() {
            return Ok(());
        }
        let files = self.files;
        let session = shadow.role_in(&replay.database).await?;
        let contested = bases::conflicts(&session.client, files, replay, &live.state, true).await;
        session.close().await;
        let order = self.order();
        let Some(deployed) = bases::deployed_first(&contested?, replay, &order) else {
            return Ok(());
        };
        let bases::Deployed { order: first, holders, others } = deployed;
        let limit = replay.limit;
        let mut other = replay::replay(shadow, files, first, &[], stand_ins, limit).await?;
        // A file that waits for others still comes too late.
        if holders.iter().any(|holder| other.has_failed(*holder)) {
            other = replay::replay(shadow, files, order, &others, stand_ins, limit).await?;
        }
        let score = |replay: &Replay| bases::score(&replay.state.facts, &live.state).0;
        if score(&other) > score(replay) {
            *replay = other;
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
            let is_harmless = extension::is_harmless(extension);
            // Its functions have names that say nothing.
            let is_used =
                extension == "pgjwt" || scripts.iter().any(|script| script.uses(extension));
            if is_harmless && !is_used {
                continue;
            }
            let how = if is_harmless { "; it was left out" } else { "; what needs it fails" };
            self.report.unchecked.push(format!("what extension {extension} brings: {why}{how}"));
        }
        for LeftOut { file, line, message, .. } in &stand_ins.left_out {
            self.report.unchecked.push(format!(
                "{file}:{line}: left out, as it takes a superuser's rights or an extension that is not here: {message}"
            ));
        }
        let wanted = scripts.iter().flat_map(|script| &script.extensions);
        let missing = wanted.filter(|it| stand_ins.extensions.contains_key(&it.name));
        self.stand_ins = missing.map(|it| (it.name.clone(), it.schema.clone())).collect();
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
        let tables = replay.base.facts.keys().filter(|key| key.0 == Kind::Table);
        let ours = tables.map(|key| key.1.clone()).collect();
        let consequences = &self.consequences;
        let known =
            sources::Known { relations, of_files, is_live, has_base, ours, consequences, faults };
        sources::audit(project, &known, shadow, &mut self.report).await
    }

    /// Findings about the files and what they make, without a database.
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
        self.contested =
            bases::conflicts(&session.client, self.files, replay, known, is_live).await?;
        for contested in &mut self.contested {
            contested.find_undeployed(makers, known);
        }
        let nothing = ledger::Ledger::default();
        let ledger = self.live.as_ref().map_or(&nothing, |live| &live.ledger);
        let lacking = self.stand_ins.iter().map(|(name, _)| name.clone());
        let lacking: Vec<String> = lacking.filter(|name| !extension::is_harmless(name)).collect();
        let mut findings = order::findings(self.files, replay, ledger, &self.contested, &lacking);
        findings.extend(self.contested.iter().map(|it| it.finding.clone()));
        let unchecked = &mut self.report.unchecked;
        let contested = &self.contested;
        let mut traps = bases::wrong_users(&replay.state, makers, known, contested);
        traps.extend(checks::check(&session, &root, &replay.state, makers, unchecked).await?);
        if let Some(faults) = faults {
            faults.fold_files(replay, &mut findings);
            let state = &faults.whole.state;
            let session = shadow.role_in(&faults.whole.database).await?;
            let root = shadow.root_in(&faults.whole.database).await?;
            let mut with = bases::wrong_users(state, makers, known, contested);
            with.extend(checks::check(&session, &root, state, makers, &mut Vec::new()).await?);
            let doubted = faults.without_consequences(&mut traps, &causes::ids(&with));
            unchecked.extend(doubted.iter().map(|(finding, file)| causes::unproven(finding, file)));
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
}
