//! `agent-provisioner agents`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};

use super::group::Shape;
use super::output::stdout;
use super::table::{Table, clean, or_dash, print_json, size};
use super::{
    By, Error, adopt, convert, copies, create, delete, moves, purge, repair, restore, trash,
    upgrade, verify,
};
use crate::operations::Actor;
use crate::operations::agents::{self, Agent, Displaced, Shown};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) by: By,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List agents by prefix, those without tables and tables without an agent included
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Print what stands for a prefix: agent, tables, last job
    Show {
        /// The agent's prefix
        prefix: String,
        /// As a JSON array: a prefix stands for two agents while the former one is being dropped
        #[arg(long)]
        json: bool,
    },
    /// Create an agent for a user, and have its tables built
    Create(create::Args),
    /// Delete agents and have their tables dropped: without --yes, print what would go
    Delete(delete::Args),
    /// Compare agents with what the templates make, and look for orphans: exit 1 on any difference
    Verify(verify::Args),
    /// Have the worker bring agents back to what the templates make; no row is lost
    Repair(repair::Args),
    /// Take over agents' tables that an older trigger or another tool built: without --yes, print the plan
    Adopt(adopt::Args),
    /// Have the worker run the template files that agents lack, behind all new agents
    Upgrade(upgrade::Args),
    /// Have the worker tie agents' customers to `agents` in another way
    Convert(convert::Args),
    /// Move an agent with its rows to another database
    Move(moves::Args),
    /// Copy an agent with its rows to another database; it stays here, too
    Copy(copies::Args),
    /// List deleted agents that can be restored
    Trash(trash::List),
    /// Bring deleted agents back: their rows, their tables and all in them
    Restore(restore::Args),
    /// Erase deleted agents now, or let the service purge again: without --yes, print what would go
    Purge(purge::Args),
}

/// What works on two databases: the one that was chosen, and another one of the settings.
#[derive(Clone, Debug)]
pub(super) enum OfTwo {
    Move(moves::Args),
    Copy(copies::Args),
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match &self.verb {
            Verb::List { json } => Some(Shape { json: *json, changes: false }),
            Verb::Verify(args) => Some(args.shape()),
            Verb::Repair(args) => Some(args.shape()),
            Verb::Upgrade(args) => Some(args.shape()),
            Verb::Trash(args) => Some(args.shape()),
            Verb::Show { .. }
            | Verb::Create(_)
            | Verb::Delete(_)
            | Verb::Adopt(_)
            | Verb::Convert(_)
            | Verb::Restore(_)
            | Verb::Purge(_)
            | Verb::Move(_)
            | Verb::Copy(_) => None,
        }
    }

    /// For one of many databases, after so many agents have failed on others; `None`: no more may fail.
    pub(super) fn for_many(mut self, failed_agents: i64) -> Option<Self> {
        if let Verb::Repair(args) = self.verb {
            self.verb = Verb::Repair(args.for_many());
        } else if let Verb::Upgrade(args) = self.verb {
            self.verb = Verb::Upgrade(args.for_many(failed_agents)?);
        }
        Some(self)
    }

    /// What works on two databases.
    pub(super) fn of_two(&self) -> Option<OfTwo> {
        if let Verb::Move(args) = &self.verb {
            Some(OfTwo::Move(args.clone()))
        } else if let Verb::Copy(args) = &self.verb {
            Some(OfTwo::Copy(args.clone()))
        } else {
            None
        }
    }
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    match args.verb {
        Verb::Create(args) => return create::main(args, actor, instance).await,
        Verb::Delete(args) => return delete::main(args, actor, instance).await,
        Verb::Verify(args) => return verify::main(args, instance).await,
        Verb::Repair(args) => return repair::main(args, actor, instance).await,
        Verb::Adopt(args) => return adopt::main(args, actor, instance).await,
        Verb::Upgrade(args) => return upgrade::main(args, actor, instance).await,
        Verb::Convert(args) => return convert::main(args, actor, instance).await,
        Verb::Move(_) | Verb::Copy(_) => {} // not on one database
        Verb::Trash(args) => return trash::list(&args, instance).await,
        Verb::Restore(args) => return restore::main(args, actor, instance).await,
        Verb::Purge(args) => return purge::main(args, actor, instance).await,
        Verb::List { json } => {
            let agents = agents::list(instance).await?;
            let mut out = stdout().lock();
            if json { print_json(&mut out, &agents)? } else { list(&mut out, &agents)? }
        }
        Verb::Show { prefix, json } => {
            let agents = agents::show(instance, &prefix).await?;
            let mut out = stdout().lock();
            if json {
                print_json(&mut out, &agents)?;
            } else {
                agents.iter().try_for_each(|agent| show(&mut out, agent))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(out: &mut impl Write, agents: &[Agent]) -> io::Result<()> {
    if agents.is_empty() {
        return writeln!(out, "no agents");
    }
    let headings = [
        "PREFIX",
        "ID",
        "STATE",
        "TEMPLATE",
        "REFERENCE",
        "TABLES",
        "PROVISIONED",
        "DRIFTED SINCE",
        "LAST JOB",
    ];
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
            or_dash(agent.drifted_since.as_ref()),
            or_dash(job.map(|job| format!("{} {} {}", job.id, job.kind, job.state))),
        ]);
    }
    table.print(out, 0)?;
    for Agent { prefix, displaced, .. } in agents {
        for Displaced { table, displacement } in displaced {
            let [prefix, table, displacement] =
                [prefix, table, displacement].map(|text| clean(text));
            writeln!(out, "{prefix}: the table {table} was {displacement}")?;
        }
    }
    Ok(())
}

fn reference(agent: &Agent) -> Option<String> {
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
    let drifted = agent.drifted_since.as_ref();
    facts.fact("drifted since", drifted.map(|at| format!("{at}; see: agents verify {prefix}")));
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
        let size = match &table.displacement {
            Some(displacement) => displacement.clone(),
            None if table.present => table.bytes.map_or_else(|| "locked just now".to_owned(), size),
            None => "missing".to_owned(),
        };
        list.row([table.name.clone(), size, or_dash(table.rows)]);
    }
    list.print(out, 2)
}
