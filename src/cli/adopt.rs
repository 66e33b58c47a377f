//! `agent-provisioner agents adopt`

use std::collections::VecDeque;
use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args as Clap;
use serde::Serialize;

use super::adopt_plan::Plan;
use super::jobs::print_json;
use super::repair::follow;
use super::table::clean;
use super::{Error, connect_fleet};
use crate::agent::{Agent, Manifest, Prefix};
use crate::config::Config;
use crate::db::{Db, Patience};
use crate::error::Chain;
use crate::fleet;
use crate::jobs::desk::{self, Adopted};
use crate::retry_policy::Wait;

/// Tries for an agent whose tables are in use: some ten seconds, when a statement of the API may take
/// eight. Between two of them all others get theirs.
const TRIES: u32 = 10;

#[derive(Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// Only these agents, by prefix, each with all that differs
    prefixes: Vec<Prefix>,
    /// Change nothing, which is so without --yes too
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

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Done {
    adopted: Vec<String>,
    /// Adopted already, gone, or without tables.
    skipped: Vec<String>,
    /// Those that cannot be adopted, too: whoever asked is to notice.
    failed: Vec<Failed>,
    /// The repairs.
    jobs: Vec<i64>,
}

#[derive(Debug, Serialize)]
struct Failed {
    prefix: String,
    error: String,
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let (db, manifest) = connect_fleet(config).await?;
    let plan = Plan::make(&db, &manifest, &args.prefixes).await?;
    let mut out = stdout().lock();
    if args.dry_run || !args.yes {
        if args.json {
            print_json(&mut out, &plan)?;
        } else {
            plan.print(&mut out, !args.prefixes.is_empty())?;
            if !plan.agents.is_empty() {
                writeln!(out, "Nothing was changed. To go on: the same command with --yes")?;
            }
        }
        return Ok(ExitCode::SUCCESS);
    }
    let done = take_over(&db, &manifest, &config.database.patience(), &plan).await?;
    if args.json {
        print_json(&mut out, &done)?;
    } else {
        done.print(&mut out)?;
    }
    drop(out);
    let mut code = if done.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.wait && !done.jobs.is_empty() {
        let adopted = plan.agents.iter().map(|planned| planned.agent.prefix.clone());
        let adopted = adopted.filter(|p| done.adopted.iter().any(|name| name == p.as_str()));
        let ended = follow(&db, &manifest, &done.jobs, &adopted.collect::<Vec<_>>()).await?;
        code = if done.failed.is_empty() { ended } else { code };
    }
    Ok(code)
}

/// One agent after the other, each in a transaction of its own: what is done stays done, and
/// whoever is in the way of one holds up no other.
async fn take_over(
    db: &Db,
    manifest: &Manifest,
    patience: &Patience,
    plan: &Plan,
) -> Result<Done, Error> {
    let mut client = db.get().await?;
    let mut done = Done::expected(plan);
    let mut queue: VecDeque<Agent> = plan.agents.iter().map(|p| p.agent.clone()).collect();
    for tries_left in (0..TRIES).rev() {
        for agent in std::mem::take(&mut queue) {
            let prefix = agent.prefix.to_string();
            let fail = |error| Failed { prefix: prefix.clone(), error };
            match desk::adopt(&mut client, manifest, patience, &agent).await {
                Ok(Adopted::Done(job)) => {
                    done.adopted.push(prefix);
                    done.jobs.extend(job);
                }
                Ok(Adopted::Nothing) => done.skipped.push(prefix),
                Ok(Adopted::Refused(reason)) => done.failed.push(fail(reason)),
                Ok(Adopted::Busy(_)) if tries_left > 0 => queue.push_back(agent),
                Ok(Adopted::Busy(error)) => done.failed.push(fail(Chain(&error).to_string())),
                Err(error) if error.code().is_some() && !client.is_closed() => {
                    done.failed.push(fail(Chain(&error).to_string()));
                }
                Err(error) => return Err(fleet::Error::from(error).into()),
            }
        }
        if queue.is_empty() {
            break;
        }
        let pause: Duration = Wait::Moment.draw(fastrand::f64());
        tokio::time::sleep(pause).await;
    }
    Ok(done)
}

impl Done {
    /// What is known of before anything is done.
    fn expected(plan: &Plan) -> Self {
        let refused = plan.not_adoptable.iter();
        let failed = refused.map(|r| Failed { prefix: r.prefix.clone(), error: r.reason.clone() });
        Self { skipped: plan.nothing_to_adopt.clone(), failed: failed.collect(), ..Self::default() }
    }

    fn print(&self, out: &mut impl Write) -> std::io::Result<()> {
        for prefix in &self.skipped {
            writeln!(out, "{prefix}: nothing to adopt; see: agents show {prefix}")?;
        }
        for Failed { prefix, error } in &self.failed {
            writeln!(out, "{} was not adopted: {}", clean(prefix), clean(error))?;
        }
        let (adopted, jobs, failed) = (self.adopted.len(), self.jobs.len(), self.failed.len());
        writeln!(out, "{adopted} adopted, {jobs} repairs queued, {failed} failed")
    }
}
