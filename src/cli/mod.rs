//! The command line: what can be asked for, and how an answer or an error leaves the program.

mod adopt;
mod adopt_text;
mod age;
mod agents;
mod apps;
mod asked;
mod audit;
mod audit_text;
mod base_schema;
mod confirm;
mod convert;
mod copies;
mod create;
mod databases;
mod delete;
mod demo;
mod dev;
mod difference_text;
mod doctor;
mod group;
mod healthcheck;
mod job_text;
mod jobs;
mod keys;
mod migrate;
mod moves;
mod numbers;
mod output;
mod progress;
mod purge;
mod render;
mod repair;
mod restore;
mod rollouts;
mod run;
mod schema;
mod secret_input;
mod secrets;
mod shell;
mod status;
mod table;
mod trash;
mod types;
mod upgrade;
mod usage;
mod verify;
mod watch;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio_postgres::error::{DbError, SqlState};

use self::agents::OfTwo;
use self::databases::{Chosen, Reach};
use self::group::Shape;
use crate::agent::InvalidPrefix;
use crate::audit::baseline;
use crate::config::{self, Config, DatabaseName, Databases};
use crate::console;
use crate::dev_server;
use crate::operations::{self, Actor};
use crate::postgres::QueryError;
use crate::service::{self, Instance};
use crate::telemetry::{self, ErrorReport, Printable};

/// Builds, keeps and drops each agent's tables in a WhatsApp CRM on Supabase or PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "agent-provisioner", version)]
struct Cli {
    /// A TOML file with settings; the environment goes over it
    #[arg(long, global = true, env = "PROVISIONER_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    databases: databases::Options,
    #[command(subcommand)]
    command: Command,
}

/// Of the commands that act for a person.
#[derive(Clone, Debug, clap::Args)]
struct By {
    /// Who asks, for the record, besides the database role
    #[arg(long, global = true, env = "USER", hide_env_values = true)]
    by: Option<OsString>,
}

impl By {
    fn actor(&self) -> Actor {
        Actor::new(self.by.as_ref().map(|by| by.to_string_lossy().into_owned()))
    }
}

/// What a command works on.
enum Work {
    Done(ExitCode),
    One(Command, Box<Config>),
    Each(Command, Shape, databases::Options, Vec<(DatabaseName, Config)>),
    Run(run::Args, Vec<Config>),
    Audit(Box<audit::Args>, Box<Config>),
    /// From the database of the settings to another one of them.
    OfTwo(Box<OfTwo>, Actor, Box<Config>, Box<Databases>),
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// The service: listen, build, drop, reconcile, until SIGTERM
    Run(run::Args),
    /// Bring the schema to this program's version, or look at it
    Migrate(migrate::Args),
    /// See, replay, cancel and prune jobs
    Jobs(jobs::Args),
    /// See agents and their tables, and compare and repair them
    Agents(agents::Args),
    /// See and add WhatsApp numbers, and set their access tokens
    Numbers(numbers::Args),
    /// See and add Meta apps, and set their secrets
    Apps(apps::Args),
    /// Make and see the keys of secrets, and go over to a new one
    Keys(keys::Args),
    /// See, start, pause, resume and abort upgrades of many agents
    Rollouts(rollouts::Args),
    /// Print the SQL that builds one agent
    Render(render::Args),
    /// Write TypeScript types for agents' tables and for the functions of the API
    Types(types::Args),
    /// Show workers, jobs, drift and trash on one screen
    Status(status::Args),
    /// Check the set-up, and print a fix for each problem
    Doctor(doctor::Args),
    /// Ask the service on this machine whether it is live: exit 0 for yes, 1 for no
    Healthcheck(healthcheck::Args),
    /// Compare migrations, code and documents with a database and with each other
    Audit(Box<audit::Args>),
    /// A throwaway real PostgreSQL with the service on it
    Dev(dev::Args),
    /// Print the JSON Schema of what commands print with --json
    Schema(schema::Args),
    /// Print a script that completes commands in a shell
    Completions(shell::Completions),
    /// Write manual pages, one for each command
    Man(shell::Man),
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(transparent)]
    Databases(#[from] databases::Error),
    #[error(
        "the arguments cannot be used. A URL is none: it belongs into DATABASE_URL, or into a file"
    )]
    Argument,
    #[error(transparent)]
    Prefix(#[from] InvalidPrefix),
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    #[error(transparent)]
    Instance(#[from] service::InstanceError),
    #[error(transparent)]
    Operation(#[from] operations::Error),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    DevServer(#[from] dev_server::Error),
    #[error(transparent)]
    Console(#[from] console::Error),
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error(transparent)]
    Baseline(#[from] baseline::Error),
    #[error("the service did not do it within {0:?}")]
    Late(std::time::Duration),
    #[error("no command of that name has JSON; `agent-provisioner schema` lists all that have")]
    NoSchema,
    #[error("nobody answers at http://{address}")]
    Ask {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Unhealthy(String),
    #[error("cannot read the secret from {file}")]
    Secret {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {file}")]
    File {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("cannot write the output")]
    Output(#[from] io::Error),
    /// Of `audit`, whose exit code 1 means findings.
    #[error(transparent)]
    NoAudit(Box<Error>),
}

impl Error {
    /// Bad input is the user's to correct, as bad usage is.
    fn exit_code(&self) -> u8 {
        let is_bad_input = match self {
            Self::Config(_)
            | Self::Databases(_)
            | Self::Argument
            | Self::Prefix(_)
            | Self::Telemetry(_)
            | Self::Baseline(_)
            | Self::Secret { .. }
            | Self::File { .. }
            | Self::NoSchema
            | Self::NoAudit(_) => true,
            Self::Instance(error) => error.is_configuration(),
            Self::Operation(error) => error.is_bad_input(),
            Self::Service(error) => error.is_configuration(),
            Self::Console(error) => error.is_configuration(),
            Self::DevServer(_)
            | Self::Query(_)
            | Self::Late(_)
            | Self::Ask { .. }
            | Self::Unhealthy(_)
            | Self::Output(_) => false,
        };
        if is_bad_input { 2 } else { 1 }
    }

    /// Whether the reader of the output has seen enough.
    fn is_broken_pipe(&self) -> bool {
        let error = if let Self::NoAudit(error) = self { error } else { self };
        matches!(error, Self::Output(io) if io.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Runs the command that the process's arguments name.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration; of `audit` 1 means findings, and 2 that there is no audit. An error is one line on standard error.
pub fn main() -> ExitCode {
    let done = parse().and_then(dispatch);
    done.unwrap_or_else(|error| {
        if error.is_broken_pipe() {
            return ExitCode::SUCCESS;
        }
        // There is nobody left to tell when standard error is gone.
        let _gone = writeln!(io::stderr(), "{}", message(&error)).is_err();
        ExitCode::from(error.exit_code())
    })
}

fn message(error: &Error) -> String {
    let message = format!("agent-provisioner: {}", Printable(ErrorReport(error)));
    if is_lock(error) {
        return format!("{message}. Who has the lock: agent-provisioner doctor");
    }
    message
}

/// Whether somebody else's lock was in the way.
fn is_lock(error: &Error) -> bool {
    let mut next: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = next {
        let db = error.downcast_ref::<DbError>();
        if db.is_some_and(|db| *db.code() == SqlState::LOCK_NOT_AVAILABLE) {
            return true;
        }
        next = error.source();
    }
    false
}

/// Usage errors quote the argument, and end the program here.
fn parse() -> Result<Cli, Error> {
    Cli::try_parse().or_else(|error| {
        let url = |argument: OsString| argument.to_string_lossy().contains("://");
        if error.use_stderr() && std::env::args_os().any(url) {
            return Err(Error::Argument);
        }
        if usage::is_for_secrets(std::env::args_os()) {
            usage::without_values(error).exit()
        }
        error.exit()
    })
}

/// Does what needs neither settings nor a database of ours.
fn without_settings(command: &Command) -> Option<Result<ExitCode, Error>> {
    match command {
        Command::Dev(args) => Some(dev::main(args)),
        Command::Schema(args) => Some(schema::main(args)),
        Command::Completions(args) => Some(shell::completions(args)),
        Command::Man(args) => Some(shell::man(args)),
        Command::Run(_)
        | Command::Migrate(_)
        | Command::Jobs(_)
        | Command::Agents(_)
        | Command::Numbers(_)
        | Command::Apps(_)
        | Command::Keys(_)
        | Command::Rollouts(_)
        | Command::Render(_)
        | Command::Types(_)
        | Command::Status(_)
        | Command::Doctor(_)
        | Command::Healthcheck(_)
        | Command::Audit(_) => None,
    }
}

impl Command {
    /// How it goes over every database at once; `None`: it does not.
    fn shape(&self) -> Option<Shape> {
        match self {
            Self::Migrate(args) => args.shape(),
            Self::Jobs(args) => args.shape(),
            Self::Agents(args) => args.shape(),
            Self::Numbers(args) => args.shape(),
            Self::Apps(args) => args.shape(),
            Self::Keys(args) => args.shape(),
            Self::Rollouts(args) => args.shape(),
            Self::Status(args) => args.shape(),
            Self::Doctor(args) => args.shape(),
            Self::Run(_)
            | Self::Render(_)
            | Self::Types(_)
            | Self::Healthcheck(_)
            | Self::Audit(_)
            | Self::Dev(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_) => None,
        }
    }

    fn reach(&self) -> Reach {
        let is_healthcheck = matches!(self, Self::Healthcheck(_));
        let is_of_keys = matches!(self, Self::Keys(args) if args.needs_no_database());
        match self.shape() {
            _ if is_healthcheck || is_of_keys => Reach::Process,
            Some(_) => Reach::Each,
            None => Reach::One,
        }
    }

    /// For one of many databases, after so many agents have failed on others; `None`: no more may fail.
    fn for_many(self, failed_agents: i64) -> Option<Self> {
        if let Self::Agents(args) = self {
            return args.for_many(failed_agents).map(Self::Agents);
        }
        Some(self)
    }
}

/// Does what needs no connection, or says what needs one.
fn begin(cli: Cli, databases: Databases) -> Result<Work, Error> {
    let (options, command) = (cli.databases, cli.command);
    if let Command::Run(args) = command {
        return Ok(Work::Run(args, options.of_process(databases)?));
    }
    if let Command::Agents(args) = &command
        && let Some(of_two) = args.of_two()
    {
        return begin_of_two(of_two, args.by.actor(), &options, databases);
    }
    let (reach, shape) = (command.reach(), command.shape());
    let config = match (options.choose(databases, reach)?, shape) {
        (Chosen::One(config), _) => config,
        (Chosen::Each(all), Some(shape)) => return Ok(Work::Each(command, shape, options, all)),
        (Chosen::Each(_), None) => return Ok(Work::Done(ExitCode::SUCCESS)), // only what has a shape takes all
    };
    if let Command::Render(args) = &command {
        return render::main(args, &config).map(Work::Done);
    }
    if let Command::Healthcheck(args) = &command {
        return healthcheck::main(args, options.name(), &config).map(Work::Done);
    }
    if let Command::Audit(args) = command {
        return Ok(Work::Audit(args, config));
    }
    Ok(Work::One(command, config))
}

fn begin_of_two(
    args: OfTwo,
    actor: Actor,
    options: &databases::Options,
    databases: Databases,
) -> Result<Work, Error> {
    match options.choose(databases.clone(), Reach::One)? {
        Chosen::One(config) => Ok(Work::OfTwo(Box::new(args), actor, config, Box::new(databases))),
        Chosen::Each(_) => Ok(Work::Done(ExitCode::SUCCESS)), // one was asked for
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode, Error> {
    // A bad flag or setting never starts a runtime.
    if let Some(done) = without_settings(&cli.command) {
        return done;
    }
    let databases = config::load(cli.config.as_deref(), std::env::vars_os())?;
    let (format, level) = (databases.first().log.format, databases.first().log.level.clone());
    let passed_over = databases.passed_over().to_vec();
    let work = begin(cli, databases)?;
    if let Work::Done(done) = work {
        return Ok(done);
    }
    let logs = telemetry::init(format, &level)?;
    warn_of_passed_over(&passed_over);
    warn_of_exposed(&work);
    let runtime = runtime()?;
    runtime.block_on(async {
        match work {
            Work::Run(args, configs) => {
                telemetry::log_panics();
                let ended = run::main(&args, configs).await;
                // Where nobody reads standard error, the service ends all the same.
                Ok(ended.unwrap_or_else(|error| {
                    log_end(&logs, &error);
                    ExitCode::from(error.exit_code())
                }))
            }
            Work::Audit(args, config) => {
                let audited = audit::main(*args, *config).await;
                audited.map_err(|error| Error::NoAudit(Box::new(error)))
            }
            Work::One(command, config) => Box::pin(on_one(command, *config)).await,
            Work::Each(command, shape, options, all) => {
                group::run(&command, shape, &options, all).await
            }
            Work::OfTwo(args, actor, config, databases) => match *args {
                OfTwo::Move(args) => {
                    Box::pin(moves::main(&args, &actor, *config, &databases)).await
                }
                OfTwo::Copy(args) => {
                    Box::pin(copies::main(&args, &actor, *config, &databases)).await
                }
            },
            Work::Done(done) => Ok(done), // returned above
        }
    })
}

/// Does it on one database.
async fn on_one(command: Command, config: Config) -> Result<ExitCode, Error> {
    match command {
        Command::Migrate(args) => migrate::main(args, &instance(config)?).await,
        Command::Types(args) => types::main(&args, &instance(config)?).await,
        Command::Status(args) => status::main(&args, &instance(config)?).await,
        Command::Doctor(args) => doctor::main(&args, &args.by.actor(), &instance(config)?).await,
        Command::Jobs(args) => {
            let actor = args.by.actor();
            jobs::main(args, &actor, &instance(config)?).await
        }
        Command::Agents(args) => {
            let actor = args.by.actor();
            agents::main(args, &actor, &instance(config)?).await
        }
        Command::Numbers(args) => numbers::main(args, &instance(config)?).await,
        Command::Apps(args) => apps::main(args, &instance(config)?).await,
        Command::Keys(args) => keys::main(args, config).await,
        Command::Rollouts(args) => {
            let actor = args.by.actor();
            rollouts::main(args, &actor, &instance(config)?).await
        }
        Command::Run(_)
        | Command::Audit(_)
        | Command::Render(_)
        | Command::Healthcheck(_)
        | Command::Dev(_)
        | Command::Schema(_)
        | Command::Completions(_)
        | Command::Man(_) => {
            Ok(ExitCode::SUCCESS) // done elsewhere
        }
    }
}

/// `doctor` says it itself.
fn warn_of_exposed(work: &Work) {
    let configs: Vec<&Config> = match work {
        Work::One(Command::Doctor(_), _) | Work::Each(Command::Doctor(_), ..) | Work::Done(_) => {
            Vec::new()
        }
        Work::One(_, config) | Work::Audit(_, config) | Work::OfTwo(_, _, config, _) => {
            vec![config]
        }
        Work::Each(.., all) => all.iter().map(|(_, config)| config).collect(),
        Work::Run(_, configs) => configs.iter().collect(),
    };
    let mut told = BTreeSet::new();
    for (key, file) in configs.into_iter().flat_map(Config::exposed) {
        if told.insert(key.clone()) {
            let file = file.display();
            tracing::warn!(key, %file, "others can read or change the secret in it: chmod 600");
        }
    }
}

/// Who exports `DATABASE_URL` for another program may not know it.
fn warn_of_passed_over(names: &[DatabaseName]) {
    if !names.is_empty() {
        let names: Vec<_> = names.iter().map(DatabaseName::as_str).collect();
        tracing::warn!(
            databases = names.join(", "),
            "the environment names a database, so those of the settings are left alone: see docs/configuration.md"
        );
    }
}

/// The last line of a service that cannot go on; also where no error is logged.
fn log_end(logs: &telemetry::Logs, error: &Error) {
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!(error = %ErrorReport(error), "the service ends");
    } else {
        logs.line(&message(error));
    }
}

/// What a command works on. Who sits at a terminal is told which database that is.
fn instance(config: Config) -> Result<Instance, Error> {
    let instance = Instance::new(config, operations::MOST_CONNECTIONS)?;
    let mut terminal = io::stderr();
    if terminal.is_terminal() {
        let (about, place) = (output::about(), instance.db.place());
        writeln!(terminal, "{about}database: {}", Printable(place))?;
    }
    Ok(instance)
}

/// Two threads: the service waits for the database, it does not compute.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}
