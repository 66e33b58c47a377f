//! `agent-provisioner agents trash`, and what `agents restore` and `agents purge` choose from it.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;
use tokio_postgres::Client;

use super::jobs::print_json;
use super::table::Table;
use super::{Error, connect_current};
use crate::agent::{Prefix, Trashed};
use crate::config::Config;

#[derive(Debug, Clap)]
pub(super) struct List {
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(args: &List, config: &Config) -> Result<ExitCode, Error> {
    let client = connect_current(config).await?;
    let trash = Trashed::read(&client).await?;
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &trash)?;
    } else if trash.is_empty() {
        writeln!(out, "the trash is empty")?;
    } else {
        let headings = ["ITEM", "PREFIX", "ID", "TABLES", "USER", "DELETED", "KEPT UNTIL"];
        let mut table = Table::list(&headings);
        for trashed in trash {
            let Trashed { item, agent_id, tables, .. } = trashed;
            let [item, id, tables] = [item, agent_id, tables].map(|number| number.to_string());
            let user = if trashed.owner_known { "-" } else { "not known" };
            let user = trashed.user_id.unwrap_or_else(|| user.to_owned());
            let (deleted, until) = (trashed.trashed_at, trashed.purge_at);
            table.row([item, trashed.agent_prefix, id, tables, user, deleted, until]);
        }
        table.print(&mut out, 0)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the trash holds of these prefixes, or of all where none is named; of a prefix the latest first. A
/// prefix that is named has its place although there is nothing of it.
pub(super) async fn choose(
    client: &Client,
    prefixes: &[Prefix],
    wanted: impl Fn(&Trashed) -> bool,
) -> Result<BTreeMap<String, Vec<Trashed>>, Error> {
    let mut chosen: BTreeMap<String, Vec<Trashed>> =
        prefixes.iter().map(|prefix| (prefix.to_string(), Vec::new())).collect();
    for trashed in Trashed::read(client).await? {
        if !wanted(&trashed) {
            continue;
        }
        if prefixes.is_empty() {
            chosen.entry(trashed.agent_prefix.clone()).or_default().push(trashed);
        } else if let Some(of_prefix) = chosen.get_mut(&trashed.agent_prefix) {
            of_prefix.push(trashed);
        }
    }
    Ok(chosen)
}
