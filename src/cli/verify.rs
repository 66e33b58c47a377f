//! `agent-provisioner agents verify`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args as Clap;

use super::group::Shape;
use super::output::stdout;
use super::table::{clean, pasteable, print_json};
use super::{Error, difference_text};
use crate::agent::Prefix;
use crate::operations::verify::{self, Adoptable, Agent, Orphan, PublicTable, Report, View};
use crate::postgres::Difference as InstanceDifference;
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// Also compare agents of which nothing has changed since they were found to be as they should be
    #[arg(long)]
    full: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    /// How it goes over many databases.
    pub(super) fn shape(&self) -> Shape {
        Shape { json: self.json, changes: false }
    }
}

pub(super) async fn main(args: Args, instance: &Instance) -> Result<ExitCode, Error> {
    let report = verify::verify(instance, &args.prefixes, args.full).await?;
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &report)?;
    } else {
        print(&report, &mut out)?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    for agent in &report.drifted {
        print_agent(agent, out)?;
    }
    for Orphan { prefix, id } in &report.without_tables {
        let prefix = clean(prefix);
        writeln!(out, "{prefix} ({id}): has no tables; see: agents show {prefix}")?;
    }
    for Orphan { prefix, id } in &report.without_agent {
        let prefix = clean(prefix);
        writeln!(
            out,
            "{prefix} ({id}): has tables, and no row in public.agents; see: agents show {prefix}"
        )?;
    }
    let adoptable = |table: &&String| report.adoptable.iter().any(|a| a.tables.contains(table));
    for table in report.unmanaged.iter().filter(|table| !adoptable(table)) {
        let table = clean(table);
        writeln!(out, "public.{table}: looks like an agent's, and is managed by nobody")?;
    }
    for Adoptable { prefix, id, tables } in &report.adoptable {
        let (prefix, tables) = (clean(prefix), clean(&tables.join(", ")));
        writeln!(out, "{prefix} ({id}): nobody manages {tables}, named like the agent's own")?;
        writeln!(out, "  if the agent's: agent-provisioner agents adopt {prefix}")?;
    }
    for view in &report.views {
        print_view(view, out)?;
    }
    for table in &report.public_tables {
        print_public(table, out)?;
    }
    for changed in &report.changed_templates {
        let how = if changed.gone { "is gone" } else { "was changed" };
        writeln!(out, "{} {how} after agents were built from it", clean(&changed.file))?;
        writeln!(out, "  fix: {}", clean(&changed.fix()))?;
    }
    for InstanceDifference { setting, own, other, host, pid } in &report.differing_instances {
        let (own, other, host) = (clean(own), clean(other), clean(host));
        writeln!(
            out,
            "not recorded: {setting} is '{own}' here, and '{other}' of the instance on {host}, process {pid}"
        )?;
    }
    writeln!(out, "not compared: {}", report.not_compared.join("; "))?;
    let (compared, drifted) = (report.compared, report.drifted.len());
    writeln!(out, "{compared} compared: {} as they should be, {drifted} not", compared - drifted)?;
    if let Some(since) = &report.unchanged_since {
        let unchanged = report.unchanged;
        writeln!(
            out,
            "{unchanged} not compared: unchanged since they were as they should be, at {since} or later"
        )?;
    }
    let current = report.template_version;
    for (version, agents) in report.versions.iter().filter(|(version, _)| **version != current) {
        let older = ": these templates are older; is `templates` set as for the service?";
        let hint = if *version > current { older } else { "" };
        writeln!(out, "{agents} at template version {version}, not {current}{hint}")?;
    }
    Ok(())
}

fn print_view(view: &View, out: &mut impl Write) -> io::Result<()> {
    let View { name: view, owner, agents, readers } = view;
    let (owner, readers) = (clean(owner), clean(&readers.join(", ")));
    let some: Vec<&str> = agents.iter().take(3).map(String::as_str).collect();
    let more = if agents.len() > some.len() { ", …" } else { "" };
    let agents = clean(&some.join(", ")) + more;
    writeln!(
        out,
        "{}: shows rows of {agents} past row security to {readers}, as {owner}",
        clean(view)
    )?;
    let fix = format!("alter view {view} set (security_invoker = true)");
    writeln!(out, "  fix: {}; or: drop view {}", pasteable(&fix), pasteable(view))
}

fn print_public(table: &PublicTable, out: &mut impl Write) -> io::Result<()> {
    let PublicTable { table, declared, row_security, rights } = table;
    let bare = (!row_security).then(|| "no row security".to_owned());
    let open: Vec<String> = bare.into_iter().chain(rights.iter().cloned()).collect();
    let open = if open.is_empty() { "nothing is open".to_owned() } else { open.join("; ") };
    let (table, declared, open) = (clean(table), clean(declared), clean(&open));
    writeln!(out, "public.{table}: may be public, as {declared} says ({open})")
}

fn print_agent(agent: &Agent, out: &mut impl Write) -> io::Result<()> {
    let Agent { prefix, id, differences, .. } = agent;
    let count = differences.len();
    let noun = if count == 1 { "difference" } else { "differences" };
    writeln!(out, "{prefix} ({id}): {count} {noun}")?;
    differences.iter().try_for_each(|difference| difference_text::print(difference, out))
}
