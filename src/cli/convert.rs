//! `agent-provisioner agents convert`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args as Clap;

use super::asked::Asked;
use super::output::stdout;
use super::progress::Reporter;
use super::table::{counted, print_json};
use super::{Error, job_text};
use crate::agent::{Prefix, Reference};
use crate::operations::Actor;
use crate::operations::convert::{self, Plan};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// What is to tie customers to `agents`: `check` or `foreign_key`
    #[arg(long)]
    reference: Reference,
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// Print which agents, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Follow the jobs to their ends
    #[arg(long)]
    wait: bool,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let to = args.reference;
    let plan = convert::plan(instance, &args.prefixes, to).await?;
    let json = args.json;
    if !json {
        job_text::held_back(&plan.held_back)?;
    }
    let agents = plan.prefixes.len();
    let prefixes = plan.prefixes.iter().map(ToString::to_string).collect();
    let mut asked = Asked { agents: prefixes, ..Asked::default() };
    let mut clean = plan.held_back.is_empty();
    if agents == 0 || args.dry_run {
        if !json {
            would(&plan)?;
        }
    } else if args.wait {
        let mut reporter = Reporter::new(agents);
        let tell = |progress| reporter.tell(progress);
        let summary = convert::follow(actor, instance, &plan, tell).await?;
        if !json {
            job_text::summary(&mut stdout().lock(), &summary)?;
        }
        clean &= summary.is_clean();
        asked.summary = Some(summary);
    } else {
        let queued = convert::request(actor, instance, &plan).await?;
        if !json {
            job_text::queued(&queued)?;
        }
        asked.jobs = Some(queued.jobs);
    }
    let code = if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if json {
        print_json(&mut stdout(), &Asked { held_back: plan.held_back, ..asked })?;
        return Ok(code);
    }
    let theirs = instance.config.reference;
    if theirs != to {
        let (theirs, to) = (theirs.as_str(), to.as_str());
        writeln!(
            stdout(),
            "new agents still get {theirs}: set reference = \"{to}\" and restart the service"
        )?;
    }
    Ok(code)
}

fn would(plan: &Plan) -> io::Result<()> {
    let (agents, to) = (plan.prefixes.len(), plan.to.as_str());
    if agents == 0 {
        return writeln!(stdout(), "no agent to convert to {to}");
    }
    writeln!(stdout(), "would convert {} to {to}:", counted(agents, "agent"))?;
    plan.prefixes.iter().try_for_each(|prefix| writeln!(stdout(), "{prefix}"))
}
