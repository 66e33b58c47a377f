//! `agent-provisioner agents upgrade`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args as Clap;
use tokio::signal::unix::{SignalKind, signal};

use super::asked::Asked;
use super::group::Shape;
use super::output::{failed_agents, stdout};
use super::rollouts::Limits;
use super::table::print_json;
use super::{Error, job_text, rollouts};
use crate::agent::Prefix;
use crate::operations::Actor;
use crate::operations::upgrade::{self, Plan};
use crate::service::Instance;

/// More agents than this are counted and not named.
const NAMED: usize = 20;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// Print which agents and the SQL of one of them, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    limits: Limits,
    /// Follow the jobs to their ends; any of the three above does that too
    #[arg(long)]
    wait: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

impl Args {
    /// How it goes over many databases.
    pub(super) fn shape(&self) -> Shape {
        Shape { json: self.json, changes: !self.dry_run }
    }

    /// One of many databases, after so many agents have failed on others: the outcome decides what is begun next, so it is
    /// waited for. `None`: no more agents may fail.
    pub(super) fn for_many(self, failed_agents: i64) -> Option<Self> {
        Some(Self { wait: true, limits: self.limits.after(failed_agents)?, ..self })
    }
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
    } else if args.wait || args.limits.any() {
        let limits = args.limits.into();
        // From here on: a worker may be at the first job before this command follows it.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let started = upgrade::start(actor, instance, &plan, limits, None).await?;
        asked.rollout = Some(started.id);
        let followed = rollouts::follow(instance, &started, &plan, &mut interrupt);
        let Some(summary) = followed.await? else {
            return Ok(ExitCode::FAILURE);
        };
        if !json {
            job_text::summary(&mut stdout().lock(), &summary)?;
        }
        clean &= summary.is_clean();
        failed_agents(summary.failed.len().try_into().unwrap_or(i64::MAX));
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
