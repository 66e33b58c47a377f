//! `agent-provisioner migrate`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};

use super::{Error, connect};
use crate::config::Config;
use crate::db;

#[derive(Debug, Clap)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    up: Up,
}

#[derive(Debug, Default, Clap)]
struct Up {
    /// First install the roles and the auth schema of Supabase that plain PostgreSQL lacks:
    /// for development and tests, as a superuser
    #[arg(long)]
    shim: bool,
}

#[derive(Debug, Subcommand)]
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
    },
    /// Print all migrations as one SQL script, for psql or `supabase db push`
    Print,
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let mut out = stdout().lock();
    match args.verb.unwrap_or(Verb::Up(args.up)) {
        Verb::Up(Up { shim }) => {
            let mut client = connect(config).await?;
            if shim {
                db::install_shim(&client).await?;
            }
            let applied = db::migrate(&mut client).await?;
            for migration in &applied {
                writeln!(out, "applied {migration}")?;
            }
            if applied.is_empty() {
                writeln!(out, "the schema is up to date")?;
            }
        }
        Verb::Status { json } => {
            let mut client = connect(config).await?;
            let steps = db::status(&mut client).await?;
            return status(&mut out, &steps, json);
        }
        Verb::Down { to, yes } => {
            let mut client = connect(config).await?;
            for migration in db::down(&mut client, to, yes).await? {
                writeln!(out, "took back {migration}")?;
            }
        }
        Verb::Print => out.write_all(db::script().as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(out: &mut impl Write, steps: &[db::Step], json: bool) -> Result<ExitCode, Error> {
    let mut rows = Vec::new();
    let mut current = true;
    for step in steps {
        let at = step.applied.as_ref().map(|(at, _)| at.as_str());
        let state = match &step.applied {
            Some((_, checksum)) if *checksum == step.checksum => "applied",
            Some(_) => "changed",
            None => "missing",
        };
        current &= state == "applied";
        if !json {
            let at = at.unwrap_or("-");
            let sum = step.checksum.get(..12).unwrap_or_default();
            let (version, description) = (step.version, step.description);
            writeln!(out, "{version:04}  {description:<16} {state:<8} {at:<21} {sum}")?;
        }
        rows.push(serde_json::json!({
            "version": step.version,
            "description": step.description,
            "state": state,
            "applied_at": at,
            "checksum": step.checksum,
        }));
    }
    if json {
        writeln!(out, "{}", serde_json::Value::Array(rows))?;
    }
    Ok(if current { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
