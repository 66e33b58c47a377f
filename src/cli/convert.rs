//! `agent-provisioner agents convert`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::rollout::{Pace, Rollout};
use super::upgrade::hold_back;
use super::verify::select;
use super::{Error, database, failed, job_text};
use crate::agent::{Prefix, Reference, Templates};
use crate::config::Config;
use crate::db;
use crate::jobs::desk::{self, BEHIND_NEW_AGENTS, Work};

const STALLED: &str = "nothing has moved for 30 s: is `agent-provisioner run` up?";

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

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let to = args.reference;
    let templates = Templates::from(config.templates.as_deref(), &config.realtime)?;
    if to == Reference::ForeignKey && !templates.has_foreign_key() {
        return Err(Error::NoForeignKey);
    }
    let db = database(config, 1)?;
    db::require_current(&mut *db.get().await?).await?;
    let mut agents = select(&db, &args.prefixes).await?;
    agents.retain(|built| built.reference != to);
    let client = db.get().await?;
    let held_back = hold_back(&client, &mut agents, None).await?;
    let ids: Vec<i64> = agents.iter().map(|built| built.agent.id.0).collect();
    let clean = if ids.is_empty() {
        writeln!(stdout(), "no agent to convert to {}", to.as_str())?;
        true
    } else if args.dry_run {
        writeln!(stdout(), "would convert {} agents to {}:", ids.len(), to.as_str())?;
        agents.iter().try_for_each(|built| writeln!(stdout(), "{}", built.agent.prefix))?;
        true
    } else {
        let argument = Some(to.as_str());
        let work = Work { kind: "convert", argument, priority: BEHIND_NEW_AGENTS };
        if args.wait {
            let pace = Pace { canaries: 0, max_failures: usize::MAX, at_a_time: usize::MAX };
            let toll = Rollout::new(&client, work, ids, STALLED).run(pace).await?;
            toll.print(&mut stdout().lock())?;
            toll.is_clean()
        } else {
            let jobs = desk::ask(&client, work, &ids).await;
            let jobs = jobs.map_err(failed("queueing the conversions"))?.len();
            writeln!(stdout(), "queued {}", job_text::count(jobs.try_into().unwrap_or(i64::MAX)))?;
            true
        }
    };
    if config.reference != to {
        let theirs = config.reference.as_str();
        writeln!(
            stdout(),
            "new agents still get {theirs}: set reference = \"{}\" and restart the service",
            to.as_str()
        )?;
    }
    Ok(if clean && !held_back { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
