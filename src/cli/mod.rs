//! The command line: what can be asked for, and how an answer or an error leaves the program.

mod adopt;
mod adopt_plan;
mod agents;
mod convert;
mod demo;
mod dev;
mod doctor;
mod healthcheck;
mod job_text;
mod jobs;
mod keys_back;
mod migrate;
mod purge;
mod render;
mod repair;
mod restore;
mod rollout;
mod run;
mod table;
mod trash;
mod upgrade;
mod verify;
mod wait;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config};
use crate::error::Chain;
use crate::jobs::desk;
use crate::printable::Printable;
use crate::{agent, cluster, db, fleet, service, telemetry};

/// Builds, keeps and drops each agent's tables in a WhatsApp CRM on Supabase or PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "agent-provisioner", version)]
struct Cli {
    /// A TOML file with settings; the environment goes over it
    #[arg(long, global = true, env = "PROVISIONER_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The service: listen, build, drop, reconcile, until SIGTERM
    Run(run::Args),
    /// Bring the schema to this program's version, or look at it
    Migrate(migrate::Args),
    /// See, replay, cancel and prune jobs
    Jobs(jobs::Args),
    /// See agents and their tables, and compare and repair them
    Agents(agents::Args),
    /// Print the SQL that builds one agent
    Render(render::Args),
    /// Look for everything that would keep `run` from working, and say how to mend it
    Doctor(doctor::Args),
    /// Ask the service on this machine whether it is live: exit 0 for yes, 1 for no
    Healthcheck(healthcheck::Args),
    /// A throwaway real PostgreSQL with the service on it
    Dev(dev::Args),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Config(#[from] config::Error),
    #[error(
        "the arguments cannot be used. A URL is none: it belongs into DATABASE_URL, or into a file"
    )]
    Argument,
    #[error(transparent)]
    Prefix(#[from] agent::InvalidPrefix),
    #[error(transparent)]
    Template(#[from] agent::TemplateError),
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    #[error(transparent)]
    Db(#[from] db::Error),
    #[error(transparent)]
    Migrate(#[from] db::MigrateError),
    #[error(transparent)]
    Service(#[from] service::Error),
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    #[error(transparent)]
    Fleet(#[from] fleet::Error),
    #[error("{doing} failed")]
    Query {
        doing: &'static str,
        #[source]
        source: tokio_postgres::Error,
    },
    #[error("the jobs do not go back into the queue")]
    Replay(#[from] desk::ReplayError),
    #[error("the service did not do it within {0:?}")]
    Late(std::time::Duration),
    #[error("nobody answers at http://{address}")]
    Ask {
        address: std::net::SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{0}")]
    Unhealthy(String),
    #[error("there is no job {0}")]
    NoJob(i64),
    #[error("no agent has the prefix {0:?}, and none has left anything under it outside the trash")]
    NoAgent(String),
    #[error(transparent)]
    Agent(#[from] agent::Error),
    #[error(
        "{prefix} is agent {id}{}",
        if *alive {
            ", which has the prefix now. Delete it first; where the trash then holds several of the prefix, \
             `agents trash` lists them and --item chooses"
        } else {
            ", which is being deleted; see: agents show"
        }
    )]
    Present { prefix: String, id: i64, alive: bool },
    #[error("there is no such {0:?} in the trash; see: agents trash")]
    NotInTrash(String),
    #[error("there is no item {0} in the trash, or it is in use at this moment; see: agents trash")]
    NoItem(i64),
    #[error("the trash holds several agents {prefix:?}; choose one by --item: {items}")]
    Several { prefix: String, items: String },
    #[error("no tables are registered for an agent {0:?}; see: agents list")]
    NotBuilt(String),
    #[error("the templates have no foreign_key.sql: there is no key to create")]
    NoForeignKey,
    #[error("cannot write the output")]
    Output(#[from] io::Error),
}

impl Error {
    /// Bad input is the user's to mend, as bad usage is.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Argument
            | Self::Prefix(_)
            | Self::Template(_)
            | Self::Telemetry(_)
            | Self::NoForeignKey
            | Self::Service(service::Error::Config(_) | service::Error::Template(_)) => 2,
            Self::Service(service::Error::Blueprint(error))
            | Self::Fleet(fleet::Error::Agent(error))
                if error.is_configuration() =>
            {
                2
            }
            Self::Db(_)
            | Self::Migrate(_)
            | Self::Service(_)
            | Self::Cluster(_)
            | Self::Fleet(_)
            | Self::Query { .. }
            | Self::Replay(_)
            | Self::Late(_)
            | Self::Ask { .. }
            | Self::Unhealthy(_)
            | Self::NoJob(_)
            | Self::NoAgent(_)
            | Self::NotBuilt(_)
            | Self::Agent(_)
            | Self::Present { .. }
            | Self::NotInTrash(_)
            | Self::NoItem(_)
            | Self::Several { .. }
            | Self::Output(_) => 1,
        }
    }
}

/// What was being done on a connection when the server or the network refused.
fn failed(doing: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Error {
    move |source| Error::Query { doing, source }
}

/// Runs the command that the process's arguments name.
///
/// Exit codes: 0 done, 1 failed, 2 usage or configuration. An error is one line on standard error.
pub fn main() -> ExitCode {
    let done = parse().and_then(dispatch);
    done.unwrap_or_else(|error| {
        if matches!(&error, Error::Output(io) if io.kind() == io::ErrorKind::BrokenPipe) {
            return ExitCode::SUCCESS; // the reader has seen enough
        }
        // There is nobody left to tell when standard error is gone.
        let _gone = writeln!(io::stderr(), "{}", message(&error)).is_err();
        ExitCode::from(error.exit_code())
    })
}

fn message(error: &Error) -> String {
    format!("agent-provisioner: {}", Printable(Chain(error)))
}

/// Usage errors quote the argument, and end the program here.
fn parse() -> Result<Cli, Error> {
    Cli::try_parse().or_else(|error| {
        let url = |argument: OsString| argument.to_string_lossy().contains("://");
        if error.use_stderr() && std::env::args_os().any(url) {
            return Err(Error::Argument);
        }
        error.exit()
    })
}

fn dispatch(cli: Cli) -> Result<ExitCode, Error> {
    // A bad flag or setting never starts a runtime.
    if let Command::Dev(args) = cli.command {
        return dev::main(&args);
    }
    let config = config::load(cli.config.as_deref(), std::env::vars_os())?;
    if let Command::Render(args) = cli.command {
        return render::main(&args, &config);
    }
    if let Command::Healthcheck(args) = cli.command {
        return healthcheck::main(&args, &config);
    }
    let logs = telemetry::init(&config.log)?;
    if !matches!(cli.command, Command::Doctor(_)) {
        for (key, file) in config.database.exposed() {
            let file = file.display();
            tracing::warn!(key, %file, "every user of this machine can read the password: chmod 600");
        }
    }
    let runtime = runtime()?;
    runtime.block_on(async {
        match cli.command {
            Command::Run(args) => {
                telemetry::log_panics();
                let ended = run::main(&args, &config).await;
                // Where nobody reads standard error, the service ends all the same.
                Ok(ended.unwrap_or_else(|error| {
                    logs.line(&message(&error));
                    ExitCode::from(error.exit_code())
                }))
            }
            Command::Migrate(args) => migrate::main(args, &config).await,
            Command::Doctor(args) => doctor::main(&args, &config).await,
            Command::Jobs(args) => jobs::main(args, &config).await,
            Command::Agents(args) => agents::main(args, &config).await,
            Command::Render(_) | Command::Healthcheck(_) | Command::Dev(_) => {
                Ok(ExitCode::SUCCESS) // done above
            }
        }
    })
}

/// Two threads: the service waits for the database, it does not compute.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// A connection to a database of this program's version.
async fn connect_current(config: &Config) -> Result<deadpool_postgres::Object, Error> {
    let mut client = connect(config).await?;
    db::require_current(&mut client).await?;
    Ok(client)
}

/// A connection for one command.
async fn connect(config: &Config) -> Result<deadpool_postgres::Object, Error> {
    Ok(database(config, 1)?.get().await?)
}

/// What a command that looks at all agents needs: connections, and what the templates make.
async fn connect_fleet(config: &Config) -> Result<(db::Db, agent::Manifest), Error> {
    let templates = agent::Templates::from(config.templates.as_deref(), &config.realtime)?;
    let db = database(config, fleet::CONNECTIONS)?;
    let mut client = db.get().await?;
    db::require_current(&mut client).await?;
    let manifest = agent::Manifest::prepare(&mut client, templates).await;
    drop(client);
    Ok((db, manifest.map_err(fleet::Error::from)?))
}

fn database(config: &Config, connections: usize) -> Result<db::Db, Error> {
    Ok(db::Db::new(&config.database.source()?, &config.database.patience(), connections)?)
}
