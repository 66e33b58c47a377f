//! `agent-provisioner agents repair`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args as Clap;

use super::asked::Asked;
use super::group::Shape;
use super::output::stdout;
use super::progress::Reporter;
use super::table::{clean, one_line, pasteable, print_json};
use super::{Error, difference_text, job_text};
use crate::agent::Prefix;
use crate::operations::jobs::Followed;
use crate::operations::repair::{self, Left, Plan, Requested};
use crate::operations::{Actor, RolloutSummary};
use crate::service::Instance;

/// So many agents are told with what is left of their differences.
const DETAILED: usize = 10;

/// What no plan can print.
const LOOKS_AGAIN: &str = "-- Then a repair looks again: it checks the rows of keys made NOT VALID, and takes from tables \
                           made again what the templates do not give them. It registers these tables; where the statements \
                           above were run by hand, `agents adopt` does.";

#[derive(Clone, Debug, Clap)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
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
    /// Run these statements and no others: the checksum that --dry-run has printed, once for each agent
    #[arg(long, value_name = "CHECKSUM", value_parser = checksum, value_delimiter = ',', conflicts_with = "dry_run")]
    plan: Vec<String>,
    /// Follow the jobs to their ends
    #[arg(long)]
    wait: bool,
    /// As a JSON object; with --dry-run as an array, one object an agent
    #[arg(long)]
    json: bool,
}

impl Args {
    /// How it goes over many databases.
    pub(super) fn shape(&self) -> Shape {
        Shape { json: self.json, changes: !self.dry_run }
    }

    /// One of many databases: the outcome decides what is begun next, so it is waited for.
    pub(super) fn for_many(self) -> Self {
        Self { wait: true, ..self }
    }
}

fn checksum(text: &str) -> Result<String, String> {
    let is_checksum = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let not = "not a checksum that --dry-run prints: 64 hexadecimal digits";
    is_checksum.then(|| text.to_ascii_lowercase()).ok_or_else(|| not.to_owned())
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    const NOTHING: &str = "nothing to repair";
    let Args { prefixes, force, dry_run, plan, wait, json } = args;
    if dry_run {
        let plans = repair::plan(instance, &prefixes, force).await?;
        if json {
            print_json(&mut stdout(), &plans)?;
        } else if plans.is_empty() {
            writeln!(stdout(), "{NOTHING}")?;
        } else {
            plans.iter().try_for_each(|plan| show(plan, force, &mut stdout().lock()))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let Requested { queued, held_back, prefixes } =
        repair::request(actor, instance, &prefixes, force, &plan).await?;
    if !json {
        job_text::held_back(&held_back)?;
        match &queued {
            None => writeln!(stdout(), "{NOTHING}")?,
            Some(queued) if queued.agents == 0 => {
                writeln!(stdout(), "no agent to repair before its dead job is out of the way")?;
            }
            Some(queued) => job_text::queued(queued)?,
        }
    }
    let left_out = |prefix: &&Prefix| held_back.iter().any(|it| it.prefix == prefix.as_str());
    let agents = prefixes.iter().filter(|prefix| !left_out(prefix)).map(ToString::to_string);
    let mut asked = Asked { agents: agents.collect(), ..Asked::default() };
    let jobs = queued.map(|queued| queued.jobs).unwrap_or_default();
    let mut code = if held_back.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if wait && !jobs.is_empty() {
        let (ended, left) = follow(instance, &jobs, &prefixes, json).await?;
        code = if left.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        asked.summary = Some(RolloutSummary::of(ended));
        asked.still_differ = left;
    }
    if json {
        asked.jobs = Some(jobs).filter(|jobs| !jobs.is_empty());
        print_json(&mut stdout(), &Asked { held_back, ..asked })?;
    }
    Ok(code)
}

/// Follows repairs to their ends, and names the agents that still differ, unless it is to be quiet.
pub(super) async fn follow(
    instance: &Instance,
    jobs: &[i64],
    prefixes: &[Prefix],
    quiet: bool,
) -> Result<(Vec<Followed>, Vec<Left>), Error> {
    let mut reporter = Reporter::new(jobs.len());
    let (ended, left) =
        repair::follow(instance, jobs, prefixes, |progress| reporter.tell(progress)).await?;
    if quiet {
        return Ok((ended, left));
    }
    job_text::ends(&mut stdout(), &ended)?;
    for (number, Left { prefix, differences }) in left.iter().enumerate() {
        writeln!(stdout(), "{prefix} still differs; see: agents verify {prefix}")?;
        let told = differences.iter().filter(|_| number < DETAILED);
        told.into_iter().try_for_each(|told| difference_text::print(told, &mut stdout().lock()))?;
    }
    Ok((ended, left))
}

/// As SQL that does what the worker would, whoever runs it, and as comments for what it leaves.
fn show(plan: &Plan, force: bool, out: &mut impl Write) -> io::Result<()> {
    let Plan { prefix, id, checksum, role, statements, looks_again, left } = plan;
    writeln!(out, "-- {prefix} ({id})")?;
    if !statements.is_empty() {
        writeln!(out, "begin;\nset local role {};", pasteable(role))?;
        statements.iter().map(|sql| pasteable(sql)).try_for_each(|sql| writeln!(out, "{sql};"))?;
        writeln!(out, "commit;")?;
        let force = if force { " --force" } else { "" };
        writeln!(out, "-- plan {checksum}; to have the worker run this and nothing else:")?;
        writeln!(out, "--   agent-provisioner agents repair {prefix}{force} --plan {checksum}")?;
    }
    if *looks_again {
        writeln!(out, "{LOOKS_AGAIN}")?;
    }
    for left in left {
        writeln!(out, "-- left as it is: {} {}", left.kind, clean(&left.object))?;
        if let Some(by_hand) = &left.by_hand {
            writeln!(out, "--   by hand, as postgres: {};", one_line(by_hand))?;
        }
    }
    Ok(())
}
