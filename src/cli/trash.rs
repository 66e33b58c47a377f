//! `agent-provisioner agents trash` and `agents restore`

use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::jobs::print_json;
use super::table::{Table, clean};
use super::{Error, connect_current, failed};
use crate::agent::{self, Prefix, Restored, Trashed, pasteable};
use crate::config::Config;
use crate::error::Chain;
use crate::jobs::desk;
use crate::printable::Printable;

#[derive(Debug, Clap)]
pub(super) struct List {
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clap)]
pub(super) struct Restore {
    prefix: Prefix,
    /// Which one, where the trash holds several of the prefix; see: agents trash
    #[arg(long)]
    item: Option<i64>,
    /// Print the SQL, try it, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn list(args: &List, config: &Config) -> Result<ExitCode, Error> {
    let client = connect_current(config).await?;
    let trash = Trashed::read(&client, None).await?;
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &trash)?;
    } else if trash.is_empty() {
        writeln!(out, "the trash is empty")?;
    } else {
        let mut table = Table::list(&["ITEM", "PREFIX", "ID", "TABLES", "DELETED", "KEPT UNTIL"]);
        for Trashed { item, agent_prefix, agent_id, trashed_at, purge_at, tables, .. } in trash {
            let [item, id, tables] = [item, agent_id, tables].map(|number| number.to_string());
            table.row([item, agent_prefix, id, tables, trashed_at, purge_at]);
        }
        table.print(&mut out, 0)?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn restore(args: Restore, config: &Config) -> Result<ExitCode, Error> {
    let Restore { prefix, item, dry_run } = args;
    let mut client = connect_current(config).await?;
    let tx = client.transaction().await.map_err(failed("beginning a transaction"))?;
    let present = desk::agents(tx.client(), Some(prefix.as_str())).await;
    if let Some(agent) = present.map_err(failed("looking for the prefix"))?.first() {
        return Err(Error::Present {
            prefix: prefix.to_string(),
            id: agent.id,
            alive: agent.alive,
        });
    }
    let mut trash = Trashed::read(tx.client(), Some(&prefix)).await?;
    trash.retain(|trashed| item.is_none_or(|item| trashed.item == item));
    let trashed = match trash.as_slice() {
        [trashed] => trashed,
        [] => return Err(Error::NotInTrash(prefix.to_string())),
        several => {
            return Err(Error::Several { prefix: prefix.to_string(), items: names(several) });
        }
    };
    let Some(restored) = agent::restore(tx.client(), trashed).await? else {
        return Err(Error::NotInTrash(prefix.to_string()));
    };
    if dry_run {
        tx.rollback().await.map_err(failed("rolling back"))?;
        show(&restored)?;
        return Ok(ExitCode::SUCCESS);
    }
    tx.commit().await.map_err(failed("restoring the agent"))?;
    let (id, tables) = (trashed.agent_id, trashed.tables);
    writeln!(stdout(), "restored {prefix} (agent {id}) with {tables} tables")?;
    if restored.orphaned {
        writeln!(stdout(), "its user is gone or has another agent by now: it has none")?;
    }
    for (statement, error) in &restored.left {
        let statement = clean(statement);
        writeln!(stderr(), "agent-provisioner: cannot {statement}: {}", Printable(Chain(error)))?;
    }
    if restored.left.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stderr(), "agent-provisioner: see: agents verify {prefix}")?;
    Ok(ExitCode::FAILURE)
}

fn names(several: &[Trashed]) -> String {
    let name = |Trashed { item, agent_id, trashed_at, .. }: &Trashed| {
        format!("{item} (agent {agent_id}, deleted {trashed_at})")
    };
    several.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn show(restored: &Restored) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "-- besides rows of public.agents and of schema provisioning:")?;
    let statements = restored.statements.iter();
    statements.map(|sql| pasteable(sql)).try_for_each(|sql| writeln!(out, "{sql};"))?;
    for (statement, error) in &restored.left {
        writeln!(out, "-- would fail: {}: {}", clean(statement), Printable(Chain(error)))?;
    }
    Ok(())
}
