//! `agent-provisioner agents convert`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::progress::Reporter;
use super::table::counted;
use super::{Error, job_text};
use crate::agent::{Prefix, Reference};
use crate::operations::{Actor, convert};
use crate::service::Instance;

#[derive(Debug, Clap)]
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
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let to = args.reference;
    let plan = convert::plan(instance, &args.prefixes, to).await?;
    job_text::held_back(&plan.held_back)?;
    let agents = plan.prefixes.len();
    let mut clean = plan.held_back.is_empty();
    if agents == 0 {
        writeln!(stdout(), "no agent to convert to {}", to.as_str())?;
    } else if args.dry_run {
        writeln!(stdout(), "would convert {} to {}:", counted(agents, "agent"), to.as_str())?;
        plan.prefixes.iter().try_for_each(|prefix| writeln!(stdout(), "{prefix}"))?;
    } else if args.wait {
        let mut reporter = Reporter::new(agents);
        let tell = |progress| reporter.tell(progress);
        let summary = convert::follow(actor, instance, &plan, tell).await?;
        job_text::summary(&mut stdout().lock(), &summary)?;
        clean &= summary.is_clean();
    } else {
        job_text::queued(&convert::request(actor, instance, &plan).await?)?;
    }
    let theirs = instance.config.reference;
    if theirs != to {
        let (theirs, to) = (theirs.as_str(), to.as_str());
        writeln!(
            stdout(),
            "new agents still get {theirs}: set reference = \"{to}\" and restart the service"
        )?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
