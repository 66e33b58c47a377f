//! `agent-provisioner agents adopt`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args as Clap;

use super::output::stdout;
use super::repair::follow;
use super::table::{clean, counted, print_json};
use super::{Error, adopt_text};
use crate::agent::Prefix;
use crate::operations::Actor;
use crate::operations::adopt::{self, Done, Failed};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// Only these agents, by prefix, each with all that differs
    prefixes: Vec<Prefix>,
    /// Print the plan and change nothing (the default)
    #[arg(long)]
    dry_run: bool,
    /// Do what the plan says
    #[arg(long)]
    yes: bool,
    /// As a JSON object: the plan, or with --yes what was done
    #[arg(long)]
    json: bool,
    /// Follow the repairs to their ends
    #[arg(long)]
    wait: bool,
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let plan = adopt::plan(instance, &args.prefixes).await?;
    let mut out = stdout().lock();
    if args.dry_run || !args.yes {
        if args.json {
            print_json(&mut out, &plan)?;
        } else {
            adopt_text::print(&plan, &mut out, !args.prefixes.is_empty())?;
            if !plan.agents.is_empty() {
                writeln!(out, "Nothing was changed. To go on: the same command with --yes")?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let done = adopt::take_over(actor, instance, &plan).await?;
    if args.json {
        print_json(&mut out, &done)?;
    } else {
        print_done(&done, &mut out)?;
    }
    let mut code = if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.wait && !done.jobs.is_empty() {
        let adopted = plan.agents.iter().map(|planned| planned.agent.prefix.clone());
        let adopted = adopted.filter(|p| done.adopted.iter().any(|name| name == p.as_str()));
        let adopted: Vec<_> = adopted.collect();
        let (_, left) = follow(instance, &done.jobs, &adopted, args.json).await?;
        if !left.is_empty() {
            code = ExitCode::FAILURE;
        }
    }
    Ok(code)
}

fn print_done(done: &Done, out: &mut impl Write) -> io::Result<()> {
    for prefix in &done.skipped {
        writeln!(out, "{prefix}: nothing to adopt; see: agents show {prefix}")?;
    }
    for Failed { prefix, error } in &done.failed {
        writeln!(out, "{} was not adopted: {}", clean(prefix), clean(error))?;
    }
    let (adopted, jobs, failed) = (done.adopted.len(), done.jobs.len(), done.failed.len());
    writeln!(out, "{adopted} adopted, {} queued, {failed} failed", counted(jobs, "repair"))
}
