//! `agent-provisioner agents purge`

use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;

use clap::Args as Clap;
use serde::Serialize;
use tokio_postgres::Client;

use super::jobs::print_json;
use super::table::clean;
use super::trash::choose;
use super::{Error, connect_current, failed};
use crate::agent::{self, Prefix, Trashed};
use crate::config::Config;
use crate::error::Chain;

#[derive(Debug, Clap)]
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
    /// As a JSON array, one object for each that is in the trash
    #[arg(long)]
    json: bool,
}

/// What became of one agent.
#[derive(Debug, Serialize)]
struct Report {
    prefix: String,
    id: Option<i64>,
    item: Option<i64>,
    tables: i64,
    purged: bool,
    /// Why it was refused.
    error: Option<String>,
}

/// Exit code 2 where nothing was done for want of `--yes`.
pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let mut client = connect_current(config).await?;
    let done = args.yes && !args.dry_run;
    if args.resume {
        resume(&mut client, done).await?;
    } else if !erase(&args, &mut client, done).await? {
        return Ok(ExitCode::FAILURE);
    }
    if done || args.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stderr(), "agent-provisioner: nothing was done: say --yes")?;
    Ok(ExitCode::from(2))
}

/// One transaction an agent; whether there was no refusal.
async fn erase(args: &Args, client: &mut Client, done: bool) -> Result<bool, Error> {
    let wanted = |trashed: &Trashed| args.item.is_none_or(|item| trashed.item == item);
    let mut reports = Vec::new();
    for (prefix, found) in choose(client, &args.prefixes, wanted).await? {
        if found.is_empty() {
            reports.push(Report::refused(prefix.clone(), &Error::NotInTrash(prefix)));
        }
        for trashed in found {
            let purged = if done { purge(client, &trashed).await } else { Ok(()) };
            reports.push(Report::of(trashed, done, purged));
        }
    }
    if let (Some(item), []) = (args.item, reports.as_slice()) {
        reports.push(Report::refused(String::new(), &Error::NoItem(item)));
    }
    if args.json {
        print_json(&mut stdout().lock(), &reports)?;
    } else {
        reports.iter().try_for_each(|report| report.print(done))?;
    }
    Ok(reports.iter().all(|report| report.error.is_none()))
}

async fn purge(client: &mut Client, trashed: &Trashed) -> Result<(), Error> {
    let tx = client.transaction().await.map_err(failed("beginning a transaction"))?;
    if agent::purge(tx.client(), trashed.item, false).await?.is_none() {
        return Err(Error::NoItem(trashed.item));
    }
    tx.commit().await.map_err(failed("purging the agent"))
}

/// The service measures the clock anew from its next sweep on.
async fn resume(client: &mut Client, done: bool) -> Result<(), Error> {
    let tx = client.transaction().await.map_err(failed("beginning a transaction"))?;
    let release = "update provisioning.purge_holds set released_at = now(), released_by = current_user \
                   where released_at is null";
    let released = tx.execute_typed(release, &[]).await.map_err(failed("releasing the purge"))?;
    if released == 0 {
        writeln!(stdout(), "the purge is not held")?;
        return Ok(());
    }
    let forget = "update provisioning.trash set clock_offset = null";
    tx.execute_typed(forget, &[]).await.map_err(failed("releasing the purge"))?;
    if !done {
        writeln!(stdout(), "would let the service purge again what is due")?;
        return Ok(());
    }
    tx.commit().await.map_err(failed("releasing the purge"))?;
    writeln!(stdout(), "the service purges again what is due")?;
    Ok(())
}

impl Report {
    fn of(trashed: Trashed, done: bool, purged: Result<(), Error>) -> Self {
        let error = purged.err().map(|error| Chain(&error).to_string());
        Self {
            prefix: trashed.agent_prefix,
            id: Some(trashed.agent_id),
            item: Some(trashed.item),
            tables: trashed.tables,
            purged: done && error.is_none(),
            error,
        }
    }

    fn refused(prefix: String, error: &Error) -> Self {
        let error = Some(Chain(error).to_string());
        Self { prefix, id: None, item: None, tables: 0, purged: false, error }
    }

    fn print(&self, done: bool) -> io::Result<()> {
        let (prefix, tables) = (clean(&self.prefix), self.tables);
        if let Some(error) = &self.error {
            return writeln!(stderr(), "agent-provisioner: {prefix}: {}", clean(error));
        }
        let (item, id) = (self.item.unwrap_or_default(), self.id.unwrap_or_default());
        let verb = if done { "erased" } else { "would erase" };
        writeln!(stdout(), "{verb} {prefix} (agent {id}, item {item}) with {tables} tables")
    }
}
