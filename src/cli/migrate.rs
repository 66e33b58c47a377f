//! `agent-provisioner migrate`

use std::io::Write;
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};

use super::group::Shape;
use super::output::stdout;
use super::table::print_json;
use super::{Error, base_schema};
use crate::operations::id_range::{self, IdRange, IdRangeReport};
use crate::operations::migrate::{self, DownReport, StepReport, UpReport};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    up: Up,
}

#[derive(Clone, Debug, Default, Clap)]
struct Up {
    /// First install the roles and the auth schema of Supabase that plain PostgreSQL lacks:
    /// for development and tests, as a superuser
    #[arg(long)]
    shim: bool,
    /// Then give new agents the ids of this range, both ends included; each database has another one
    #[arg(long, value_name = "FROM-TO")]
    id_range: Option<IdRange>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Apply what is missing (the default)
    Up(Up),
    /// List the migrations and what is applied; exit 1 unless all are
    Status {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Take migrations back, newest first
    Down {
        /// The version to go down to; 0 for none
        #[arg(long)]
        to: i32,
        /// Also where rows are lost
        #[arg(long)]
        yes: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Compare the base schema with what this program makes; exit 1 where it differs
    Verify {
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Put functions, triggers, row security, policies and grants back; touches no row
    Repair {
        /// Also take additional policies and grants away
        #[arg(long)]
        force: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Record a schema that was restored without its data, where it is this program's
    Baseline {
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print migrations and the repeatable files as one SQL script, for psql or `supabase db push`
    Print {
        /// Only migrations above this version; the script is for a database that is at it
        #[arg(long, value_name = "VERSION", default_value_t = 0)]
        after: i32,
    },
}

impl Args {
    /// Whether it goes over many databases, and how. A range of ids is one database's.
    pub(super) fn shape(&self) -> Option<Shape> {
        let (json, changes) = match &self.verb {
            None if self.up.id_range.is_some() => return None,
            Some(Verb::Up(up)) if up.id_range.is_some() => return None,
            None => (self.up.json, true),
            Some(Verb::Up(up)) => (up.json, true),
            Some(Verb::Status { json } | Verb::Verify { json }) => (*json, false),
            Some(Verb::Down { json, .. } | Verb::Repair { json, .. } | Verb::Baseline { json }) => {
                (*json, true)
            }
            Some(Verb::Print { .. }) => return None,
        };
        Some(Shape { json, changes })
    }
}

pub(super) async fn main(args: Args, instance: &Instance) -> Result<ExitCode, Error> {
    let mut out = stdout().lock();
    match args.verb.unwrap_or(Verb::Up(args.up)) {
        Verb::Up(Up { shim, id_range, json }) => {
            let applied = migrate::up(instance, shim).await?;
            let ids = match id_range {
                Some(range) => Some(id_range::set(instance, range).await?),
                None => None,
            };
            if json {
                let applied = applied.iter().map(ToString::to_string).collect();
                print_json(&mut out, &UpReport { applied, ids })?;
                return Ok(ExitCode::SUCCESS);
            }
            for migration in &applied {
                writeln!(out, "applied {migration}")?;
            }
            if applied.is_empty() {
                writeln!(out, "the schema is up to date")?;
            }
            if let Some(IdRangeReport { first, last, next }) = ids {
                writeln!(out, "new agents get ids of {first}-{last}, the next one {next}")?;
            }
        }
        Verb::Status { json } => {
            let (steps, files) = migrate::status(instance).await?;
            return status(&mut out, &steps, &files, json);
        }
        Verb::Down { to, yes, json } => {
            let taken_back = migrate::down(instance, to, yes).await?;
            if json {
                let taken_back = taken_back.iter().map(ToString::to_string).collect();
                print_json(&mut out, &DownReport { taken_back })?;
                return Ok(ExitCode::SUCCESS);
            }
            for migration in taken_back {
                writeln!(out, "took back {migration}")?;
            }
        }
        Verb::Verify { json } => return base_schema::verify(&mut out, instance, json).await,
        Verb::Repair { force, json } => {
            return base_schema::repair(&mut out, instance, force, json).await;
        }
        Verb::Baseline { json } => return base_schema::baseline(&mut out, instance, json).await,
        Verb::Print { after } => out.write_all(migrate::script(after)?.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Files first: of the text, the last line is the newest migration.
fn status(
    out: &mut impl Write,
    steps: &[migrate::Step],
    files: &[migrate::File],
    json: bool,
) -> Result<ExitCode, Error> {
    let (mut reports, mut current) = (Vec::new(), true);
    for migrate::File { name, checksum, applied } in files {
        let (state, at) = state(applied.as_ref(), checksum);
        current &= state == "applied";
        if !json {
            line(out, "base", name, state, at, checksum)?;
        }
        reports.push(StepReport {
            version: None,
            description: None,
            repeatable: Some(*name),
            state,
            applied_at: at.map(ToOwned::to_owned),
            checksum: checksum.clone(),
        });
    }
    for (place, step) in steps.iter().enumerate() {
        let (state, at) = state(step.applied.as_ref(), &step.checksum);
        current &= state == "applied";
        if !json {
            let number = format!("{:04}", step.version);
            line(out, &number, step.description, state, at, &step.checksum)?;
        }
        let report = StepReport {
            version: Some(step.version),
            description: Some(step.description),
            repeatable: None,
            state,
            applied_at: at.map(ToOwned::to_owned),
            checksum: step.checksum.clone(),
        };
        reports.insert(place, report);
    }
    if json {
        print_json(out, &reports)?;
    }
    Ok(if current { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn state<'a>(applied: Option<&'a (String, String)>, own: &str) -> (&'static str, Option<&'a str>) {
    match applied {
        Some((at, checksum)) if checksum == own => ("applied", Some(at)),
        Some((at, _)) => ("changed", Some(at)),
        None => ("missing", None),
    }
}

fn line(
    out: &mut impl Write,
    number: &str,
    name: &str,
    state: &str,
    at: Option<&str>,
    checksum: &str,
) -> std::io::Result<()> {
    let (at, sum) = (at.unwrap_or("-"), checksum.get(..12).unwrap_or_default());
    writeln!(out, "{number}  {name:<20} {state:<8} {at:<21} {sum}")
}
