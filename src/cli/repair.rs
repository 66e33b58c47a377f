//! `agent-provisioner agents repair`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::table::one_line;
use super::upgrade::hold_back;
use super::verify::select;
use super::{Error, connect_fleet, failed, job_text, wait};
use crate::agent::{Change, Manifest, Prefix, mend, pasteable, worker_role};
use crate::config::Config;
use crate::db::Db;
use crate::fleet::{self, Drifted};
use crate::jobs::desk::{self, BEHIND_NEW_AGENTS, Work};
use crate::printable::Printable;

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// Also replace differing indexes, policies, triggers, grants and defaults, and take away
    /// policies and grants that the templates know nothing of
    #[arg(long)]
    force: bool,
    /// Print the SQL and what would be left, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Follow the jobs to their ends
    #[arg(long)]
    wait: bool,
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let (db, manifest) = connect_fleet(config).await?;
    let agents = select(&db, &args.prefixes).await?;
    let drifted = fleet::verify(&db, &manifest, agents, |_| {}).await?;
    if drifted.is_empty() {
        writeln!(stdout(), "nothing to repair")?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.dry_run {
        let role = worker_role(&*db.get().await?).await.map_err(fleet::Error::from)?;
        drifted.iter().try_for_each(|drifted| show(drifted, args.force, &role))?;
        return Ok(ExitCode::SUCCESS);
    }
    let client = db.get().await?;
    let mut agents = drifted.iter().map(|drifted| drifted.built.clone()).collect();
    let held_back = hold_back(&client, &mut agents, Some("repair")).await?;
    if agents.is_empty() {
        writeln!(stdout(), "no agent to repair before its dead job is out of the way")?;
        return Ok(ExitCode::FAILURE);
    }
    let agents: Vec<i64> = agents.iter().map(|built| built.agent.id.0).collect();
    let argument = args.force.then_some("force");
    let work = Work { kind: "repair", argument, priority: BEHIND_NEW_AGENTS };
    let jobs = desk::ask(&client, work, &agents).await.map_err(failed("queueing the repairs"))?;
    writeln!(stdout(), "queued {}", job_text::count(jobs.len().try_into().unwrap_or(i64::MAX)))?;
    if !args.wait {
        return Ok(if held_back { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let prefixes: Vec<Prefix> = drifted.into_iter().map(|d| d.built.agent.prefix).collect();
    follow(&db, &manifest, &jobs, &prefixes).await
}

/// Follows repairs to their ends, and names the agents that still differ.
pub(super) async fn follow(
    db: &Db,
    manifest: &Manifest,
    jobs: &[i64],
    prefixes: &[Prefix],
) -> Result<ExitCode, Error> {
    let ended = wait::until_ended(&*db.get().await?, jobs).await?;
    job_text::ends(&mut stdout(), &ended)?;
    let left = fleet::verify(db, manifest, select(db, prefixes).await?, |_| {}).await?;
    for Drifted { built, .. } in &left {
        let prefix = &built.agent.prefix;
        writeln!(stdout(), "{prefix} still differs; see: agents verify {prefix}")?;
    }
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As SQL that does what the worker would, whoever runs it, and as comments for what it leaves.
fn show(drifted: &Drifted, force: bool, role: &str) -> std::io::Result<()> {
    let mut out = stdout().lock();
    let agent = &drifted.built.agent;
    writeln!(out, "-- {} ({})", agent.prefix, agent.id)?;
    let mend = mend(&agent.prefix, &drifted.drift, force);
    let script = mend.script();
    if !script.is_empty() {
        writeln!(out, "begin;\nset local role {};", pasteable(role))?;
        script.iter().map(|sql| pasteable(sql)).try_for_each(|sql| writeln!(out, "{sql};"))?;
        writeln!(out, "commit;")?;
    }
    for left in &mend.left {
        let (kind, object) = (left.object.kind.as_str(), &left.object);
        writeln!(out, "-- left as it is: {kind} {}", Printable(object))?;
        if let Change::Removed { statement: Some(statement), .. } = &left.change {
            writeln!(out, "--   by hand, as postgres: {};", one_line(statement))?;
        }
    }
    Ok(())
}
