//! `agent-provisioner agents restore`

use std::io::{self, Write, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as Clap;

use super::output::stdout;
use super::table::{clean, counted, one_line, pasteable, print_json};
use super::{Error, age};
use crate::agent::Prefix;
use crate::operations::restore::{self, Report, Selection};
use crate::operations::{Actor, Left};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// The agents to restore
    #[arg(required_unless_present_any = ["item", "deleted_since", "all"])]
    prefixes: Vec<Prefix>,
    /// Which one, where the trash holds several of the prefix; see: agents trash
    #[arg(long, conflicts_with_all = ["deleted_since", "all"])]
    item: Option<i64>,
    /// Only what was deleted within this time, such as `2h`
    #[arg(long, value_name = "AGO", value_parser = age::parse)]
    deleted_since: Option<Duration>,
    /// Every agent in the trash
    #[arg(long, conflicts_with = "prefixes")]
    all: bool,
    /// Also what was moved to another database, with the rows of then: only where that database does not serve the agent any more
    #[arg(long)]
    moved: bool,
    /// Print the SQL, try it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// As a JSON array, one object an agent
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let Args { prefixes, item, deleted_since, all: _, moved, dry_run, json } = args;
    let selection = Selection { prefixes, item, deleted_since, moved };
    let mut printed = Ok(());
    let each = |report: &Report| {
        if !json && printed.is_ok() {
            printed = print(report, dry_run);
        }
    };
    let reports = restore::restore(actor, instance, &selection, dry_run, each).await?;
    printed?;
    if json {
        print_json(&mut stdout().lock(), &reports)?;
    } else if reports.is_empty() {
        writeln!(stdout(), "nothing to restore; see: agents trash")?;
    } else if let [_, _, ..] = reports.as_slice()
        && !dry_run
    {
        let restored = reports.iter().filter(|report| report.restored).count();
        writeln!(stdout(), "{restored} restored, {} refused", reports.len() - restored)?;
    }
    let clean = reports.iter().all(Report::is_clean);
    // A dry run shows what would fail, and has done what was asked.
    let refused = reports.iter().any(|report| report.error.is_some());
    Ok(if clean || (dry_run && !refused) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, dry_run: bool) -> io::Result<()> {
    let (prefix, tables) = (clean(&report.prefix), report.tables);
    if let Some(error) = &report.error {
        return writeln!(stderr(), "agent-provisioner: {prefix}: {}", clean(error));
    }
    let mut out = stdout().lock();
    if dry_run {
        writeln!(out, "-- {prefix}: besides rows of public.agents and of schema provisioning:")?;
        let mut statements = report.statements.iter().map(|statement| pasteable(statement));
        statements.try_for_each(|statement| writeln!(out, "{statement};"))?;
        print_left(&report.keys_off, &mut out, "-- ")?;
        let mut by_hand = report.by_hand.iter().map(|by_hand| one_line(by_hand));
        by_hand.try_for_each(|by_hand| writeln!(out, "-- by hand: {by_hand};"))?;
        let mut failed = report.failed.iter().map(|failed| clean(failed));
        return failed.try_for_each(|one| writeln!(out, "-- would fail: {one}"));
    }
    let id = report.id.unwrap_or_default();
    writeln!(out, "restored {prefix} (agent {id}) with {}", counted(tables, "table"))?;
    print_user(report, &mut out)?;
    if !report.elsewhere.is_empty() {
        let tables = clean(&report.elsewhere.join(", "));
        writeln!(
            out,
            "outside schema public, where it was: {tables}; see: agents verify {prefix}"
        )?;
    }
    for key in &report.not_valid {
        let key = clean(key);
        writeln!(out, "rows have no partner any more, so this holds for new rows only: {key}")?;
    }
    for by_hand in &report.by_hand {
        let by_hand = one_line(by_hand);
        writeln!(out, "not given back; to do it by hand, read it and run: {by_hand};")?;
    }
    for failed in &report.failed {
        writeln!(stderr(), "agent-provisioner: cannot {}", clean(failed))?;
    }
    print_left(&report.keys_off, &mut stderr(), "agent-provisioner: ")?;
    if !report.keys_off.is_empty() {
        writeln!(stderr(), "agent-provisioner: then: agent-provisioner agents repair {prefix}")?;
    }
    if !report.failed.is_empty() {
        writeln!(stderr(), "agent-provisioner: see: agents verify {prefix}")?;
    }
    Ok(())
}

fn print_user(report: &Report, out: &mut impl Write) -> io::Result<()> {
    if report.user_lost {
        writeln!(out, "its user is gone or has another agent by now: it has none")?;
    }
    if report.owner_known {
        return Ok(());
    }
    writeln!(out, "its owner is not known: it has no user")?;
    let (Some(user), Some(id)) = (&report.built_for, report.id) else { return Ok(()) };
    writeln!(
        out,
        "its tables were built for user {user}; if the agent is still that user's: \
         update public.agents set user_id = '{user}' where id = {id};"
    )
}

fn print_left(left: &[Left], out: &mut impl Write, head: &str) -> io::Result<()> {
    for Left { why, by_hand } in left {
        let why = clean(why);
        match by_hand {
            Some(by_hand) => {
                let by_hand = one_line(by_hand);
                writeln!(out, "{head}a foreign key is off: {why}; run as postgres: {by_hand};")?;
            }
            None => writeln!(out, "{head}a foreign key is off: {why}")?,
        }
    }
    Ok(())
}
