//! `agent-provisioner agents move`

use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as Clap;

use super::progress::Reporter;
use super::table::{clean, counted, print_json};
use super::{Error, age, instance, job_text};
use crate::agent::Prefix;
use crate::config::{self, Config, DatabaseName, Databases};
use crate::operations::moves::{self, Aborted, MoveOutcome, Moved, Options, Sides, Step};
use crate::operations::{Actor, jobs};
use crate::service::Instance;

/// As a role with the rights of the owner of schema `provisioning` and with BYPASSRLS, such as `postgres`, on both sides. May be
/// broken off at any point: the same command goes on
#[derive(Clone, Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// The agent
    prefix: Prefix,
    /// The database that it goes to: the name of an entry `[[database]]` of the settings
    #[arg(long, value_name = "NAME", required_unless_present = "abort")]
    to: Option<DatabaseName>,
    /// Build it under the next id of that database, where its own is taken there
    #[arg(long)]
    new_id: bool,
    /// Keep writers from the agent's tables no longer than this
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = age::parse)]
    max_lock: Duration,
    /// Say whether it can go, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Give the move up, and drop what was built; not once the other database has the agent
    #[arg(long, conflicts_with_all = ["new_id", "dry_run", "wait"])]
    abort: bool,
    /// With --abort: serve the agent here although the other database is lost, or was set back to before the move
    #[arg(long, requires = "abort")]
    lost: bool,
    /// Wait until the tables here are in the trash
    #[arg(long)]
    wait: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// The agent is in the database of `config`, the source.
pub(super) async fn main(
    args: &Args,
    actor: &Actor,
    config: Config,
    databases: &Databases,
) -> Result<ExitCode, Error> {
    let (source_name, source) = (name_of(&config), instance(config)?);
    let target_name = match &args.to {
        Some(to) => to.to_string(),
        None => moves::under_way(&source, &args.prefix).await?,
    };
    let target = instance(named(databases, &target_name)?)?;
    let sides = Sides {
        source: &source,
        source_name: &source_name,
        target: &target,
        target_name: &target_name,
    };
    if args.abort {
        let aborted = moves::abort(actor, sides, &args.prefix, args.lost).await?;
        print_aborted(&aborted, "move", args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options { new_id: args.new_id, max_lock: args.max_lock, dry_run: args.dry_run };
    let mut told = Ok(());
    let tell = |step| told = told_of(&step);
    let mut moved = moves::move_agent(actor, sides, &args.prefix, options, tell).await?;
    told?;
    if !args.json {
        print(&moved)?;
    }
    let gone = !args.wait || wait(&source, &mut moved, args.json).await?;
    if args.json {
        print_json(&mut stdout().lock(), &moved)?;
    }
    Ok(if gone { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The name of a database in the settings.
pub(super) fn name_of(config: &Config) -> String {
    config.name.as_ref().map_or("unnamed", DatabaseName::as_str).to_owned()
}

/// The settings of a database by its name.
pub(super) fn named(databases: &Databases, name: &str) -> Result<Config, Error> {
    let found = databases.named(name);
    let names = || databases.names().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let reason = || {
        if databases.is_many() {
            format!("has no entry with the name {name:?}; there are {}", names())
        } else {
            format!("has no entry with the name {name:?}: write [[database]] for both databases")
        }
    };
    let unknown = || config::Error::Value { key: "database".to_owned(), reason: reason() };
    Ok(found.cloned().ok_or_else(unknown)?)
}

/// Follows the job that takes the source's tables away; whether it did.
async fn wait(source: &Instance, moved: &mut Moved, quiet: bool) -> Result<bool, Error> {
    let Some(job) = moved.job else { return Ok(true) };
    let mut reporter = Reporter::new(1);
    let ended = jobs::until_ended(source, &[job], |progress| reporter.tell(progress)).await?;
    moved.end = ended.first().and_then(|job| job.end);
    if !quiet {
        job_text::ends(&mut stdout().lock(), &ended)?;
    }
    Ok(!jobs::any_failed(&ended))
}

pub(super) fn told_of(step: &Step) -> io::Result<()> {
    let mut err = stderr();
    match step {
        Step::Built => writeln!(err, "built, copying the rows"),
        Step::HandedOver => writeln!(err, "handed over"),
        Step::Busy(holders) if holders.is_empty() => {
            writeln!(err, "somebody uses the agent's tables: trying again")
        }
        Step::Busy(holders) => holders.iter().try_for_each(|holder| {
            writeln!(err, "the agent's tables are in use: {}", clean(holder))
        }),
        Step::Retried(error) => {
            writeln!(
                err,
                "the other database does not take over yet, trying again: {}",
                clean(error)
            )
        }
    }
}

fn print(moved: &Moved) -> io::Result<()> {
    let Moved { id, rows, locked_ms, job, new_id, .. } = moved;
    let (prefix, to) = (clean(&moved.prefix), clean(&moved.to));
    let mut out = stdout().lock();
    match moved.outcome {
        MoveOutcome::Possible => {
            return writeln!(out, "{prefix} (agent {id}) can go to {to}: nothing was done");
        }
        MoveOutcome::AlreadyMoved => return writeln!(out, "{prefix} is in {to} already"),
        MoveOutcome::Moved => {}
    }
    let rows = rows.map(|rows| format!(" with {}", counted(rows, "row"))).unwrap_or_default();
    let there = new_id.filter(|new| new != id).map(|new| format!(", as agent {new} there"));
    writeln!(out, "moved {prefix} (agent {id}) to {to}{rows}{}", there.unwrap_or_default())?;
    if let Some(locked) = locked_ms {
        writeln!(out, "writers waited {locked} ms at most")?;
    }
    if let Some(converting) = moved.converting {
        writeln!(out, "in {to} job {converting} gives it its foreign key")?;
    }
    match job {
        Some(job) => writeln!(out, "job {job} moves its tables here into the trash"),
        None => Ok(()),
    }
}

/// `what`: a move or a copy.
pub(super) fn print_aborted(aborted: &Aborted, what: &str, json: bool) -> io::Result<()> {
    let mut out = stdout().lock();
    if json {
        return print_json(&mut out, aborted);
    }
    let Aborted { prefix, to, id } = aborted;
    let id = id.map(|id| format!(" (agent {id})")).unwrap_or_default();
    writeln!(out, "{}{id} stays: the {what} to {} is given up", clean(prefix), clean(to))
}
