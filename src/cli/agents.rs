//! `agent-provisioner agents`

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};
use tokio_postgres::Client;

use super::jobs::print_json;
use super::table::{Table, clean, or_dash};
use super::{
    Error, adopt, connect_current, convert, failed, purge, repair, restore, trash, upgrade, verify,
};
use crate::config::Config;
use crate::jobs::desk;

#[derive(Debug, Clap)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List agents by prefix, those without tables and tables without an agent included
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print what stands for a prefix: agent, tables, last job
    Show {
        prefix: String,
        /// As a JSON array: a prefix stands for two agents while the former one is being dropped
        #[arg(long)]
        json: bool,
    },
    /// Compare agents with what the templates make, and look for orphans: exit 1 on any difference
    Verify(verify::Args),
    /// Have the worker bring agents back to what the templates make; no row is lost
    Repair(repair::Args),
    /// Take over agents whose tables an older trigger built: without --yes, print the plan
    Adopt(adopt::Args),
    /// Have the worker run the template files that agents lack, behind all new agents
    Upgrade(upgrade::Args),
    /// Have the worker tie agents' customers to `agents` in another way
    Convert(convert::Args),
    /// List deleted agents that can be restored
    Trash(trash::List),
    /// Bring deleted agents back: their rows, their tables and all in them
    Restore(restore::Args),
    /// Erase deleted agents now, or let the service purge again: without --yes, print what would go
    Purge(purge::Args),
}

/// An agent with all that `show` tells of it.
#[derive(serde::Serialize)]
struct Shown {
    #[serde(flatten)]
    agent: desk::Agent,
    tables: Vec<desk::Table>,
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    match args.verb {
        Verb::Verify(args) => return verify::main(args, config).await,
        Verb::Repair(args) => return repair::main(args, config).await,
        Verb::Adopt(args) => return adopt::main(args, config).await,
        Verb::Upgrade(args) => return upgrade::main(args, config).await,
        Verb::Convert(args) => return convert::main(args, config).await,
        Verb::Trash(args) => return trash::list(&args, config).await,
        Verb::Restore(args) => return restore::main(args, config).await,
        Verb::Purge(args) => return purge::main(args, config).await,
        Verb::List { json } => {
            let client = connect_current(config).await?;
            let mut out = stdout().lock();
            let agents = desk::agents(&client, None).await.map_err(failed("listing the agents"))?;
            if json { print_json(&mut out, &agents)? } else { list(&mut out, &agents)? }
        }
        Verb::Show { prefix, json } => {
            let client = connect_current(config).await?;
            let mut out = stdout().lock();
            let agents = read(&client, &prefix).await.map_err(failed("reading the agent"))?;
            if agents.is_empty() {
                return Err(Error::NoAgent(prefix));
            }
            if json {
                print_json(&mut out, &agents)?;
            } else {
                agents.iter().try_for_each(|agent| show(&mut out, agent))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(client: &Client, prefix: &str) -> Result<Vec<Shown>, tokio_postgres::Error> {
    let mut shown = Vec::new();
    for agent in desk::agents(client, Some(prefix)).await? {
        let tables = desk::tables(client, agent.id).await?;
        shown.push(Shown { agent, tables });
    }
    Ok(shown)
}

fn list(out: &mut impl Write, agents: &[desk::Agent]) -> io::Result<()> {
    if agents.is_empty() {
        return writeln!(out, "no agents");
    }
    let headings =
        ["PREFIX", "ID", "STATE", "TEMPLATE", "REFERENCE", "TABLES", "PROVISIONED", "LAST JOB"];
    let mut table = Table::list(&headings);
    for agent in agents {
        let job = agent.last_job.as_ref();
        table.row([
            agent.prefix.clone(),
            agent.id.to_string(),
            agent.state.clone(),
            or_dash(agent.template_version),
            or_dash(reference(agent)),
            agent.tables.to_string(),
            or_dash(agent.provisioned_at.as_ref()),
            or_dash(job.map(|job| format!("{} {} {}", job.id, job.kind, job.state))),
        ]);
    }
    table.print(out, 0)
}

fn reference(agent: &desk::Agent) -> Option<String> {
    let removed = if agent.key_removed { ", taken off by a deletion" } else { "" };
    agent.reference.as_ref().map(|reference| format!("{reference}{removed}"))
}

fn show(out: &mut impl Write, shown: &Shown) -> io::Result<()> {
    let Shown { agent, tables } = shown;
    let gone = if agent.alive { "" } else { ", whose row in public.agents is gone," };
    let (prefix, id) = (clean(&agent.prefix), agent.id);
    writeln!(out, "Agent {prefix} ({id}){gone} is {}", agent.state)?;
    let mut facts = Table::facts();
    facts.fact("template", agent.template_version);
    facts.fact("reference", reference(agent));
    facts.fact("provisioned", agent.provisioned_at.as_ref());
    if let Some(job) = &agent.last_job {
        let (id, kind, state) = (job.id, &job.kind, &job.state);
        facts.fact("last job", Some(format!("{id}, {kind}, {state}; see: jobs show {id}")));
        if job.state != "succeeded" {
            facts.fact("error", job.error.as_ref());
        }
    }
    facts.print(out, 2)?;
    if tables.is_empty() {
        return writeln!(out, "  no tables");
    }
    let mut list = Table::list(&["TABLE", "SIZE", "ROWS (ESTIMATE)"]);
    for table in tables {
        let size = if table.present { size(table.bytes) } else { "missing".to_owned() };
        list.row([table.name.clone(), size, or_dash(table.rows)]);
    }
    list.print(out, 2)
}

fn size(bytes: Option<i64>) -> String {
    let Some(bytes) = bytes else { return "locked just now".to_owned() };
    let kib = bytes / 1024;
    if kib < 10_240 { format!("{kib} kB") } else { format!("{} MB", kib / 1024) }
}
