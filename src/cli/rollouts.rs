//! `agent-provisioner rollouts`

use std::io::{self, Write, stderr};
use std::process::ExitCode;

use clap::{Args as Clap, Subcommand};
use tokio::signal::unix::Signal;

use super::asked::Asked;
use super::group::Shape;
use super::output::{about, stdout};
use super::progress::Reporter;
use super::table::{Table, counted, or_dash, print_json};
use super::{By, Error, job_text};
use crate::agent::Prefix;
use crate::operations::rollouts::{self, Report, RolloutState, RolloutView, Started};
use crate::operations::upgrade::{self, Plan};
use crate::operations::{Actor, RolloutLimits, RolloutSummary};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) by: By,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List rollouts, the latest first
    List {
        /// At most so many
        #[arg(long, default_value = "20", value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Start upgrading agents little by little, and do not wait; `agents upgrade` waits
    Start(Start),
    /// Queue nothing more, and take back what no worker is on
    Pause(Change),
    /// Go on with a paused rollout
    Resume(Change),
    /// End a rollout: queue nothing more, and take back what no worker is on
    Abort(Change),
}

#[derive(Clone, Debug, Clap)]
struct Start {
    /// Only these agents, by prefix
    prefixes: Vec<Prefix>,
    #[command(flatten)]
    limits: Limits,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Clap)]
struct Change {
    /// The rollout [default: the one that is under way]
    #[arg(value_parser = clap::value_parser!(i64).range(1..))]
    id: Option<i64>,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
}

/// Of a rollout.
#[derive(Clone, Copy, Debug, Clap)]
pub(super) struct Limits {
    /// Upgrade N agents first, those with the lowest ids, and stop if one of them fails
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    canary: Option<i32>,
    /// Stop when N have failed, and take back what is still in the queue
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    max_failures: Option<i32>,
    /// Keep at most N jobs in the queue
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    concurrency: Option<i32>,
}

fn at_least_one(text: &str) -> Result<i32, String> {
    let number = text.parse().map_err(|_error| "not a number".to_owned())?;
    if number < 1 { Err("at least 1".to_owned()) } else { Ok(number) }
}

impl Limits {
    pub(super) fn any(self) -> bool {
        self.canary.or(self.max_failures).or(self.concurrency).is_some()
    }

    /// What is left of them when so many agents have failed on other databases; `None`: nothing.
    pub(super) fn after(self, failed: i64) -> Option<Self> {
        let left =
            |most: i32| i32::try_from(i64::from(most) - failed).ok().filter(|left| *left > 0);
        match self.max_failures {
            Some(most) => left(most).map(|left| Self { max_failures: Some(left), ..self }),
            None => Some(self),
        }
    }
}

impl From<Limits> for RolloutLimits {
    fn from(limits: Limits) -> Self {
        let Limits { canary, max_failures, concurrency } = limits;
        Self::new(canary, max_failures, concurrency)
    }
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match self.verb {
            Verb::List { json, .. } => Some(Shape { json, changes: false }),
            Verb::Start(_) | Verb::Pause(_) | Verb::Resume(_) | Verb::Abort(_) => None,
        }
    }
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let (wanted, change) = match args.verb {
        Verb::List { limit, json } => {
            let rollouts = rollouts::list(instance, limit).await?;
            let mut out = stdout().lock();
            if json {
                print_json(&mut out, &rollouts)?;
            } else {
                list(&mut out, &rollouts)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        Verb::Start(args) => return start(args, actor, instance).await,
        Verb::Pause(change) => (RolloutState::Paused, change),
        Verb::Resume(change) => (RolloutState::Running, change),
        Verb::Abort(change) => (RolloutState::Aborted, change),
    };
    let (id, reason) = (change.id, change.reason.as_deref());
    let changed = rollouts::change(actor, instance, id, wanted, reason).await?;
    if change.json {
        print_json(&mut stdout(), &changed)?;
    } else {
        let Report { id, state, changed, taken_back } = changed;
        let already = if changed { "" } else { " already" };
        let back = match taken_back {
            0 => String::new(),
            jobs => format!("; taken back: {}", counted(jobs, "job")),
        };
        writeln!(stdout(), "rollout {id} is {state}{already}{back}")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn start(args: Start, actor: &Actor, instance: &Instance) -> Result<ExitCode, Error> {
    let Start { prefixes, limits, reason, json } = args;
    let plan = upgrade::plan(instance, &prefixes).await?;
    if !json {
        job_text::held_back(&plan.held_back)?;
    }
    let agents = plan.prefixes.iter().map(ToString::to_string).collect();
    let mut asked = Asked { agents, ..Asked::default() };
    if plan.prefixes.is_empty() {
        if !json {
            writeln!(stdout(), "no agent to upgrade to template version {}", plan.version)?;
        }
    } else {
        let limits = limits.into();
        let started = upgrade::start(actor, instance, &plan, limits, reason.as_deref()).await?;
        asked.rollout = Some(started.id);
        if !json {
            let Started { id, joined } = started;
            let said = if joined { "is under way already" } else { "started" };
            writeln!(stdout(), "rollout {id} {said}: {}", counted(plan.prefixes.len(), "agent"))?;
        }
    }
    let clean = plan.held_back.is_empty();
    if json {
        print_json(&mut stdout(), &Asked { held_back: plan.held_back, ..asked })?;
    }
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Follows a rollout to its end. `None`: Ctrl-C came first, and the rollout goes on.
pub(super) async fn follow(
    instance: &Instance,
    started: &Started,
    plan: &Plan,
    interrupt: &mut Signal,
) -> Result<Option<RolloutSummary>, Error> {
    let Started { id, joined } = *started;
    if joined {
        writeln!(stderr(), "{}rollout {id} is under way already, and is followed", about())?;
    }
    let stalled = format!(
        "nothing has moved for 30 s: is `agent-provisioner run` up, with templates of version {}?",
        plan.version
    );
    let mut reporter = Reporter::new(plan.prefixes.len()).with_stalled(stalled);
    tokio::select! {
        summary = rollouts::follow(instance, id, |progress| reporter.tell(progress)) => {
            Ok(Some(summary?))
        }
        _ = interrupt.recv() => {
            drop(reporter);
            writeln!(
                stderr(),
                "{}rollout {id} goes on; to pause it: agent-provisioner rollouts pause {id}",
                about()
            )?;
            Ok(None)
        }
    }
}

fn list(out: &mut impl Write, rollouts: &[RolloutView]) -> io::Result<()> {
    if rollouts.is_empty() {
        return writeln!(out, "no rollouts");
    }
    let headings =
        ["ID", "STATE", "STAGE", "TO", "DONE", "FAILED", "LEFT", "STARTED", "BY", "REASON"];
    let mut table = Table::list(&headings);
    for rollout in rollouts {
        table.row([
            rollout.id.to_string(),
            rollout.state.clone(),
            or_dash(rollout.stage.as_deref()),
            rollout.template_version.to_string(),
            format!("{} of {}", rollout.succeeded, rollout.agents),
            rollout.failed.to_string(),
            (rollout.queued + rollout.waiting).to_string(),
            rollout.started_at.clone(),
            rollout.requested_by.clone(),
            or_dash(rollout.change_reason.as_deref().or(rollout.reason.as_deref())),
        ]);
    }
    table.print(out, 0)
}
