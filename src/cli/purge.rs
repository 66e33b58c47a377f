//! `agent-provisioner agents purge`

use std::io::{self, Write, stderr};
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use super::output::stdout;
use super::table::{clean, counted, print_json};
use crate::agent::Prefix;
use crate::operations::Actor;
use crate::operations::purge::{self, Report, Resumed};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// All that the trash holds of these
    #[arg(required_unless_present_any = ["item", "resume"])]
    prefixes: Vec<Prefix>,
    /// Only this one; see: agents trash
    #[arg(long)]
    item: Option<i64>,
    /// Let the service purge again, after the database's clock has moved
    #[arg(long, conflicts_with_all = ["prefixes", "item"])]
    resume: bool,
    /// Do it: no row comes back
    #[arg(long)]
    yes: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// As a JSON array, one object for each that is in the trash; with --resume as an object
    #[arg(long)]
    json: bool,
}

/// Exit code 2 where nothing was done for want of `--yes`.
pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let done = args.yes && !args.dry_run;
    if args.resume {
        let held = purge::resume(actor, instance, !done).await?;
        let said = match (held, done) {
            (false, _) => "the purge is not held",
            (true, false) => "would let the service purge again what is due",
            (true, true) => "the service purges again what is due",
        };
        if args.json {
            print_json(&mut stdout(), &Resumed { held, resumed: held && done })?;
        } else {
            writeln!(stdout(), "{said}")?;
        }
    } else {
        let reports = purge::erase(actor, instance, &args.prefixes, args.item, !done).await?;
        if args.json {
            print_json(&mut stdout().lock(), &reports)?;
        } else {
            reports.iter().try_for_each(|report| print(report, done))?;
        }
        if reports.iter().any(|report| report.error.is_some()) {
            return Ok(ExitCode::FAILURE);
        }
    }
    if done || args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stderr(), "agent-provisioner: nothing was done: say --yes")?;
    Ok(ExitCode::from(2))
}

fn print(report: &Report, done: bool) -> io::Result<()> {
    let (prefix, tables) = (clean(&report.prefix), report.tables);
    if let Some(error) = &report.error {
        return writeln!(stderr(), "agent-provisioner: {prefix}: {}", clean(error));
    }
    let (item, id) = (report.item.unwrap_or_default(), report.id.unwrap_or_default());
    let verb = if done { "erased" } else { "would erase" };
    writeln!(
        stdout(),
        "{verb} {prefix} (agent {id}, item {item}) with {}",
        counted(tables, "table")
    )
}
