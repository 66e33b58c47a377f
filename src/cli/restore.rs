//! `agent-provisioner agents restore`

use std::io::{self, Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as Clap;
use serde::Serialize;
use tokio_postgres::Client;

use super::jobs::print_json;
use super::keys_back::{Keys, Left, print_left};
use super::table::{clean, one_line};
use super::trash::choose;
use super::{Error, connect_current, failed};
use crate::agent::{self, Prefix, Restored, Trashed, pasteable};
use crate::config::Config;
use crate::db;
use crate::error::Chain;
use crate::jobs::desk;

#[derive(Debug, Clap)]
pub(super) struct Args {
    #[arg(required_unless_present_any = ["item", "deleted_since", "all"])]
    prefixes: Vec<Prefix>,
    /// Which one, where the trash holds several of the prefix; see: agents trash
    #[arg(long, conflicts_with_all = ["deleted_since", "all"])]
    item: Option<i64>,
    /// Only what was deleted within this time, such as `2h`
    #[arg(long, value_name = "AGO", value_parser = humantime::parse_duration)]
    deleted_since: Option<Duration>,
    /// All that the trash holds
    #[arg(long, conflicts_with = "prefixes")]
    all: bool,
    /// Print the SQL, try it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// As a JSON array, one object an agent
    #[arg(long)]
    json: bool,
}

/// What became of one agent.
#[derive(Debug, Default, Serialize)]
struct Report {
    prefix: String,
    id: Option<i64>,
    item: Option<i64>,
    restored: bool,
    tables: i64,
    /// Its user is gone or has another agent by now.
    user_lost: bool,
    owner_known: bool,
    built_for: Option<String>,
    /// Foreign keys that hold for new rows only.
    not_valid: Vec<String>,
    /// Foreign keys that are off, and stay on the books until they are back.
    keys_off: Vec<Left>,
    /// Statements to run by hand.
    by_hand: Vec<String>,
    failed: Vec<String>,
    statements: Vec<String>,
    /// Why it was refused.
    error: Option<String>,
}

/// One agent after the other: a refusal keeps no other from coming back.
pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let Args { prefixes, item, deleted_since, all: _, dry_run, json } = args;
    let mut client = connect_current(config).await?;
    let wanted = |trashed: &Trashed| {
        item.is_none_or(|item| trashed.item == item)
            && deleted_since.is_none_or(|since| trashed.age <= since.as_secs_f64())
    };
    let mut reports = Vec::new();
    for (prefix, found) in choose(&client, &prefixes, wanted).await? {
        let report = match restore(&mut client, &prefix, &found, dry_run).await {
            Ok((trashed, restored, keys)) => Report::of(trashed, restored, keys, dry_run),
            Err(error) => {
                let error = Some(Chain(&error).to_string());
                Report { prefix, error, ..Report::default() }
            }
        };
        if !json {
            report.print(dry_run)?;
        }
        reports.push(report);
    }
    if let (Some(item), []) = (item, reports.as_slice()) {
        return Err(Error::NoItem(item));
    }
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

/// One transaction for the agent, and two short ones for each foreign key: those that write to the table that it
/// refers to do not wait for the rest.
async fn restore<'a>(
    client: &mut Client,
    prefix: &str,
    found: &'a [Trashed],
    dry_run: bool,
) -> Result<(&'a Trashed, Restored, Keys), Error> {
    let tx = db::begin(client).await.map_err(failed("beginning a transaction"))?;
    let present = desk::agents(tx.client(), Some(prefix)).await;
    if let Some(agent) = present.map_err(failed("looking for the prefix"))?.first() {
        let (prefix, id, alive) = (prefix.to_owned(), agent.id, agent.alive);
        return Err(Error::Present { prefix, id, alive });
    }
    let trashed = match found {
        [trashed] => trashed,
        [] => return Err(Error::NotInTrash(prefix.to_owned())),
        several => {
            return Err(Error::Several { prefix: prefix.to_owned(), items: names(several) });
        }
    };
    let Some(restored) = agent::restore(tx.client(), trashed).await? else {
        return Err(Error::NotInTrash(prefix.to_owned()));
    };
    let keys = agent::keys_off(tx.client(), &[trashed.agent_id]).await?;
    if dry_run {
        tx.rollback().await.map_err(failed("rolling back"))?;
        return Ok((trashed, restored, Keys::planned(keys)));
    }
    tx.commit().await.map_err(failed("restoring the agent"))?;
    let mut done = Keys::default();
    for key in keys {
        done.give_back(client, key).await;
    }
    Ok((trashed, restored, done))
}

fn names(several: &[Trashed]) -> String {
    let name = |Trashed { item, agent_id, trashed_at, .. }: &Trashed| {
        format!("{item} (agent {agent_id}, deleted {trashed_at})")
    };
    several.iter().map(name).collect::<Vec<_>>().join(", ")
}

impl Report {
    fn of(trashed: &Trashed, mut restored: Restored, keys: Keys, dry_run: bool) -> Self {
        restored.statements.extend(keys.statements);
        let failed = |(statement, error): &(String, tokio_postgres::Error)| {
            format!("{statement}: {}", Chain(error))
        };
        Self {
            prefix: trashed.agent_prefix.clone(),
            id: Some(trashed.agent_id),
            item: Some(trashed.item),
            restored: !dry_run,
            tables: trashed.tables,
            user_lost: restored.orphaned,
            owner_known: restored.owner_known,
            built_for: restored.built_for,
            failed: restored.failed.iter().map(failed).collect(),
            not_valid: keys.not_valid,
            keys_off: keys.left,
            by_hand: restored.by_hand,
            statements: restored.statements,
            error: None,
        }
    }

    /// Whether nothing is left to do.
    fn is_clean(&self) -> bool {
        self.error.is_none() && self.failed.is_empty() && self.keys_off.is_empty()
    }

    fn print(&self, dry_run: bool) -> io::Result<()> {
        let (prefix, tables) = (clean(&self.prefix), self.tables);
        if let Some(error) = &self.error {
            return writeln!(stderr(), "agent-provisioner: {prefix}: {}", clean(error));
        }
        let mut out = stdout().lock();
        if dry_run {
            writeln!(
                out,
                "-- {prefix}: besides rows of public.agents and of schema provisioning:"
            )?;
            let mut statements = self.statements.iter().map(|statement| pasteable(statement));
            statements.try_for_each(|statement| writeln!(out, "{statement};"))?;
            print_left(&self.keys_off, &mut out, "-- ")?;
            let mut by_hand = self.by_hand.iter().map(|by_hand| one_line(by_hand));
            by_hand.try_for_each(|by_hand| writeln!(out, "-- by hand: {by_hand};"))?;
            let mut failed = self.failed.iter().map(|failed| clean(failed));
            return failed.try_for_each(|one| writeln!(out, "-- would fail: {one}"));
        }
        let id = self.id.unwrap_or_default();
        writeln!(out, "restored {prefix} (agent {id}) with {tables} tables")?;
        self.print_user(&mut out)?;
        for key in &self.not_valid {
            let key = clean(key);
            writeln!(out, "rows have no partner any more, so this holds for new rows only: {key}")?;
        }
        for by_hand in &self.by_hand {
            let by_hand = one_line(by_hand);
            writeln!(out, "not given back; to do it by hand, read it and run: {by_hand};")?;
        }
        for failed in &self.failed {
            writeln!(stderr(), "agent-provisioner: cannot {}", clean(failed))?;
        }
        print_left(&self.keys_off, &mut stderr(), "agent-provisioner: ")?;
        if !self.keys_off.is_empty() {
            writeln!(
                stderr(),
                "agent-provisioner: then: agent-provisioner agents repair {prefix}"
            )?;
        }
        if !self.failed.is_empty() {
            writeln!(stderr(), "agent-provisioner: see: agents verify {prefix}")?;
        }
        Ok(())
    }

    fn print_user(&self, out: &mut impl Write) -> io::Result<()> {
        if self.user_lost {
            writeln!(out, "its user is gone or has another agent by now: it has none")?;
        }
        if self.owner_known {
            return Ok(());
        }
        writeln!(out, "its owner is not known: it has no user")?;
        let (Some(user), Some(id)) = (&self.built_for, self.id) else { return Ok(()) };
        writeln!(
            out,
            "its tables were built for user {user}; if the agent is still that user's: \
             update public.agents set user_id = '{user}' where id = {id};"
        )
    }
}
