//! `agent-provisioner agents upgrade`

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::asked::Asked;
use super::progress::Reporter;
use super::table::print_json;
use super::{Error, job_text};
use crate::agent::Prefix;
use crate::operations::upgrade::{self, Plan};
use crate::operations::{Actor, RolloutLimits};
use crate::service::Instance;

/// More agents than this are counted and not named.
const NAMED: usize = 20;

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// Print which agents and the SQL of one of them, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Upgrade N agents first, those with the lowest ids, and stop if one of them fails
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    canary: Option<usize>,
    /// Stop when N have failed, and take back what is still in the queue
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_failures: Option<usize>,
    /// Keep at most N jobs in the queue
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    concurrency: Option<usize>,
    /// Follow the jobs to their ends; any of the three above does that too
    #[arg(long)]
    wait: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_error| "not a number".to_owned())?;
    if number == 0 { Err("at least 1".to_owned()) } else { Ok(number) }
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let plan = upgrade::plan(instance, &args.prefixes).await?;
    let json = args.json;
    if !json {
        job_text::held_back(&plan.held_back)?;
    }
    let agents = plan.prefixes.iter().map(ToString::to_string).collect();
    let mut asked = Asked { agents, ..Asked::default() };
    let mut clean = plan.held_back.is_empty();
    if plan.prefixes.is_empty() {
        if !json {
            writeln!(stdout(), "no agent to upgrade to template version {}", plan.version)?;
        }
    } else if args.dry_run {
        clean = true;
        if !json {
            dry_run(&mut stdout().lock(), &plan)?;
        }
        asked.sql = plan.sample.as_ref().map(|(_, script)| script.clone());
    } else if let Some(limits) = args.limits() {
        let stalled = format!(
            "nothing has moved for 30 s: is `agent-provisioner run` up, with templates of version {}?",
            plan.version
        );
        let mut reporter = Reporter::new(plan.prefixes.len()).with_stalled(stalled);
        let tell = |progress| reporter.tell(progress);
        let summary = upgrade::follow(actor, instance, &plan, limits, tell).await?;
        if !json {
            job_text::summary(&mut stdout().lock(), &summary)?;
        }
        clean &= summary.is_clean();
        asked.summary = Some(summary);
    } else {
        let queued = upgrade::request(actor, instance, &plan).await?;
        if !json {
            job_text::queued(&queued)?;
        }
        asked.jobs = Some(queued.jobs);
    }
    if json {
        print_json(&mut stdout(), &Asked { held_back: plan.held_back, ..asked })?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn limits(&self) -> Option<RolloutLimits> {
        let Self { canary, max_failures, concurrency, wait, .. } = *self;
        let follows = wait || canary.is_some() || max_failures.is_some() || concurrency.is_some();
        follows.then(|| RolloutLimits {
            canaries: canary.unwrap_or(0),
            max_failures: max_failures.unwrap_or(usize::MAX),
            // A limit to failures is worth little when everything is in the queue already.
            at_a_time: concurrency.unwrap_or(if max_failures.is_some() { 100 } else { usize::MAX }),
        })
    }
}

/// As SQL that runs as it stands, with the rest as comments.
fn dry_run(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let to = plan.version;
    for (version, agents) in &plan.versions {
        let noun = if *agents == 1 { "agent" } else { "agents" };
        writeln!(out, "-- {agents} {noun} from template version {version} to {to}")?;
    }
    if plan.prefixes.len() <= NAMED {
        let prefixes: Vec<&str> = plan.prefixes.iter().map(Prefix::as_str).collect();
        writeln!(out, "-- {}", prefixes.join(", "))?;
    }
    let Some((agent, script)) = &plan.sample else { return Ok(()) };
    write!(out, "\n-- {} ({}):\n{script}", agent.prefix, agent.id)
}
