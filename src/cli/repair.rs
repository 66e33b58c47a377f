//! `agent-provisioner agents repair`

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::progress::Reporter;
use super::table::{clean, one_line, pasteable};
use super::{Error, difference_text, job_text};
use crate::agent::Prefix;
use crate::operations::Actor;
use crate::operations::repair::{self, Left, Plan};
use crate::service::Instance;

/// So many agents are told with what is left of their differences.
const DETAILED: usize = 10;

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

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    const NOTHING: &str = "nothing to repair";
    if args.dry_run {
        let plans = repair::plan(instance, &args.prefixes, args.force).await?;
        if plans.is_empty() {
            writeln!(stdout(), "{NOTHING}")?;
        }
        plans.iter().try_for_each(|plan| show(plan, &mut stdout().lock()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let requested = repair::request(actor, instance, &args.prefixes, args.force).await?;
    let Some(queued) = requested.queued else {
        writeln!(stdout(), "{NOTHING}")?;
        return Ok(ExitCode::SUCCESS);
    };
    job_text::held_back(&requested.held_back)?;
    if queued.agents == 0 {
        writeln!(stdout(), "no agent to repair before its dead job is out of the way")?;
        return Ok(ExitCode::FAILURE);
    }
    job_text::queued(&queued)?;
    if !args.wait {
        let held_back = !requested.held_back.is_empty();
        return Ok(if held_back { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    follow(instance, &queued.jobs, &requested.prefixes).await
}

/// Follows repairs to their ends, and names the agents that still differ.
pub(super) async fn follow(
    instance: &Instance,
    jobs: &[i64],
    prefixes: &[Prefix],
) -> Result<ExitCode, Error> {
    let mut reporter = Reporter::new(jobs.len());
    let (ended, left) =
        repair::follow(instance, jobs, prefixes, |progress| reporter.tell(progress)).await?;
    job_text::ends(&mut stdout(), &ended)?;
    for (number, Left { prefix, differences }) in left.iter().enumerate() {
        writeln!(stdout(), "{prefix} still differs; see: agents verify {prefix}")?;
        let told = differences.iter().filter(|_| number < DETAILED);
        told.into_iter().try_for_each(|told| difference_text::print(told, &mut stdout().lock()))?;
    }
    Ok(if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As SQL that does what the worker would, whoever runs it, and as comments for what it leaves.
fn show(plan: &Plan, out: &mut impl Write) -> io::Result<()> {
    let Plan { agent, role, statements, left } = plan;
    writeln!(out, "-- {} ({})", agent.prefix, agent.id)?;
    if !statements.is_empty() {
        writeln!(out, "begin;\nset local role {};", pasteable(role))?;
        statements.iter().map(|sql| pasteable(sql)).try_for_each(|sql| writeln!(out, "{sql};"))?;
        writeln!(out, "commit;")?;
    }
    for left in left {
        writeln!(out, "-- left as it is: {} {}", left.kind, clean(&left.object))?;
        if let Some(by_hand) = &left.by_hand {
            writeln!(out, "--   by hand, as postgres: {};", one_line(by_hand))?;
        }
    }
    Ok(())
}
