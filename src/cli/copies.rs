//! `agent-provisioner agents copy`

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::moves::{name_of, named, print_aborted, told_of};
use super::table::{clean, counted, print_json};
use super::{Error, instance};
use crate::agent::Prefix;
use crate::config::{Config, DatabaseName, Databases};
use crate::operations::Actor;
use crate::operations::moves::{self, AgentCopy, CopyOutcome, Sides};

/// As a role with the rights of the owner of schema `provisioning` and with BYPASSRLS, such as `postgres`, on both sides. Its numbers
/// and its WhatsApp configuration are not copied. May be broken off at any point: the same command begins anew
#[derive(Clone, Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// The agent
    prefix: Prefix,
    /// The database that gets the copy: the name of an entry `[[database]]` of the settings
    #[arg(long, value_name = "NAME")]
    to: DatabaseName,
    /// Build it under the next id of that database, where its own is taken there
    #[arg(long)]
    new_id: bool,
    /// Say whether it can be copied, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Drop what a copy that was broken off has built there
    #[arg(long, conflicts_with_all = ["new_id", "dry_run"])]
    abort: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// The agent is in the database of `config`.
pub(super) async fn main(
    args: &Args,
    actor: &Actor,
    config: Config,
    databases: &Databases,
) -> Result<ExitCode, Error> {
    let (source_name, source) = (name_of(&config), instance(config)?);
    let target_name = args.to.as_str();
    let target = instance(named(databases, target_name)?)?;
    let sides = Sides { source: &source, source_name: &source_name, target: &target, target_name };
    if args.abort {
        let aborted = moves::abort_copy(actor, sides, &args.prefix).await?;
        print_aborted(&aborted, "copy", args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut told = Ok(());
    let tell = |step| told = told_of(&step);
    let copied =
        moves::copy_agent(actor, sides, &args.prefix, args.new_id, args.dry_run, tell).await?;
    told?;
    if args.json {
        print_json(&mut stdout().lock(), &copied)?;
    } else {
        print(&copied)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(copied: &AgentCopy) -> io::Result<()> {
    let AgentCopy { id, new_id, tables, converting, .. } = copied;
    let (prefix, to) = (clean(&copied.prefix), clean(&copied.to));
    let mut out = stdout().lock();
    if copied.outcome == CopyOutcome::Possible {
        return writeln!(out, "{prefix} (agent {id}) can be copied to {to}: nothing was done");
    }
    let rows: i64 = tables.iter().map(|table| table.rows).sum();
    let rows = counted(rows, "row");
    let there = new_id.filter(|new| new != id).map(|new| format!(", as agent {new} there"));
    writeln!(
        out,
        "copied {prefix} (agent {id}) to {to} with {rows}{}; it has no number there",
        there.unwrap_or_default()
    )?;
    match converting {
        Some(job) => writeln!(out, "in {to} job {job} gives it its foreign key"),
        None => Ok(()),
    }
}
