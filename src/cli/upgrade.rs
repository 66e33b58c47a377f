//! `agent-provisioner agents upgrade`

use std::io::{self, Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::rollout::{Pace, Rollout};
use super::verify::select;
use super::{Error, connect_fleet, failed, job_text};
use crate::agent::{Built, Prefix, Stage, Templates};
use crate::config::Config;
use crate::fleet;
use crate::jobs::desk::{self, BEHIND_NEW_AGENTS, Work};

/// More agents than this are counted and not named.
const NAMED: usize = 20;

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    /// Print which agents and the SQL of one of them, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Upgrade so many agents first, those with the lowest ids, and stop if one of them fails
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    canary: Option<usize>,
    /// Stop when so many have failed, and take back what is still in the queue
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_failures: Option<usize>,
    /// Have at most so many in the queue at a time
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    concurrency: Option<usize>,
    /// Follow the jobs to their ends; any of the three above does that too
    #[arg(long)]
    wait: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().map_err(|_error| "not a number".to_owned())?;
    if number == 0 { Err("at least 1".to_owned()) } else { Ok(number) }
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    // What no worker would start with is refused before anything is queued.
    let (db, manifest) = connect_fleet(config).await?;
    let templates = manifest.templates();
    let version = templates.version();
    let mut behind = select(&db, &args.prefixes).await?;
    behind.retain(|built| built.version < version);
    behind.sort_by_key(|built| built.agent.id.0);
    let client = db.get().await?;
    let held_back = hold_back(&client, &mut behind, None).await?;
    if behind.is_empty() {
        writeln!(stdout(), "no agent to upgrade to template version {version}")?;
        return Ok(if held_back { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    if args.dry_run {
        dry_run(&mut stdout().lock(), templates, &behind)?;
        return Ok(ExitCode::SUCCESS);
    }
    let argument = version.to_string();
    let work = Work { kind: "upgrade", argument: Some(&argument), priority: BEHIND_NEW_AGENTS };
    let agents: Vec<i64> = behind.iter().map(|built| built.agent.id.0).collect();
    let Some(pace) = args.pace() else {
        let jobs =
            desk::ask(&client, work, &agents).await.map_err(failed("queueing the upgrades"))?;
        writeln!(
            stdout(),
            "queued {}",
            job_text::count(jobs.len().try_into().unwrap_or(i64::MAX))
        )?;
        return Ok(if held_back { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    };
    let stalled = format!(
        "nothing has moved for 30 s: is `agent-provisioner run` up, with templates of version \
         {version}?"
    );
    let toll = Rollout::new(&client, work, agents, &stalled).run(pace).await?;
    toll.print(&mut stdout().lock())?;
    Ok(if toll.is_clean() && !held_back { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn pace(&self) -> Option<Pace> {
        let Self { canary, max_failures, concurrency, wait, .. } = *self;
        let follows = wait || canary.is_some() || max_failures.is_some() || concurrency.is_some();
        follows.then(|| Pace {
            canaries: canary.unwrap_or(0),
            max_failures: max_failures.unwrap_or(usize::MAX),
            // A limit to failures is worth little when everything is in the queue already.
            at_a_time: concurrency.unwrap_or(if max_failures.is_some() { 100 } else { usize::MAX }),
        })
    }
}

/// Leaves out, and names, agents whose prefix a dead job holds up: a new one would only wait for it.
/// One of the kind that is brought back, as `desk::ask` does, holds nothing up.
pub(super) async fn hold_back(
    client: &tokio_postgres::Client,
    agents: &mut Vec<Built>,
    brought_back: Option<&str>,
) -> Result<bool, Error> {
    let dead = desk::dead(client).await.map_err(failed("looking for dead jobs"))?;
    let (held, free): (Vec<Built>, Vec<Built>) =
        std::mem::take(agents).into_iter().partition(|built| {
            let dead = dead.get(built.agent.prefix.as_str());
            dead.is_some_and(|(_, kind)| brought_back != Some(kind.as_str()))
        });
    *agents = free;
    let mut err = io::stderr().lock();
    for prefix in held.iter().map(|built| built.agent.prefix.as_str()) {
        let Some((id, kind)) = dead.get(prefix) else { continue };
        writeln!(
            err,
            "agent-provisioner: {prefix} is left out: its {kind} job {id} is dead; see: jobs show {id}"
        )?;
    }
    Ok(!held.is_empty())
}

/// As SQL that runs as it stands, with the rest as comments.
fn dry_run(out: &mut impl Write, templates: &Templates, behind: &[Built]) -> io::Result<()> {
    let to = templates.version();
    for (version, agents) in fleet::versions(behind) {
        let noun = if agents == 1 { "agent" } else { "agents" };
        writeln!(out, "-- {agents} {noun} from template version {version} to {to}")?;
    }
    if behind.len() <= NAMED {
        let prefixes: Vec<&str> = behind.iter().map(|b| b.agent.prefix.as_str()).collect();
        writeln!(out, "-- {}", prefixes.join(", "))?;
    }
    let Some(sample) = behind.iter().min_by_key(|built| built.version) else { return Ok(()) };
    writeln!(out, "\n-- {} ({}):", sample.agent.prefix, sample.agent.id)?;
    let mut version = sample.version;
    while let Some(stage) = Stage::next(templates, version, to) {
        write!(out, "{}", stage.script(&sample.agent))?;
        version = stage.to();
    }
    Ok(())
}
