//! `agent-provisioner jobs`

use std::io::{Write, stderr};
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{ArgGroup, Args as Clap, Subcommand, ValueEnum};

use super::age;
use super::confirm::confirm;
use super::group::Shape;
use super::output::stdout;
use super::progress::Reporter;
use super::table::print_json;
use super::watch::watch;
use super::{By, Error, job_text};
use crate::operations::Actor;
use crate::operations::jobs::{
    self, Change, Filter, JobResult, Kind, Pruned, Request, ResultKind, Sort, State, Target,
};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) by: By,
    #[command(subcommand)]
    verb: Verb,
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match &self.verb {
            Verb::List(args) => Some(Shape { json: args.json, changes: false }),
            Verb::Watch(_)
            | Verb::Show { .. }
            | Verb::Replay(_)
            | Verb::Approve(_)
            | Verb::Cancel(_)
            | Verb::Prune { .. } => None,
        }
    }
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// List jobs: running, dead, paused, then pending ones as they will run, then finished ones
    List(List),
    /// The same, again every two seconds, until Ctrl-C
    Watch(List),
    /// Print everything about a job, and what to do next
    Show {
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Queue dead jobs again, in the places they had, and have pending ones run now; a paused deletion whose ID is given is
    /// approved, which needs the role that `approve` needs
    Replay(Replay),
    /// Approve deletions that are paused: they go through, and the deletion limit does not count them. Needs the role
    /// that owns schema provisioning, such as postgres
    Approve(Approve),
    /// Take pending, dead and paused jobs out of the queue for good; the agent of a paused deletion keeps its tables
    Cancel(Cancel),
    /// Delete succeeded and cancelled jobs that are old; never dead, paused or pending ones
    Prune {
        /// How long ago they ended, such as `30d` or `12h`
        #[arg(long, default_value = "30d", value_parser = age::parse)]
        older_than: Duration,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(Clone, Debug, Clap)]
struct List {
    /// Any of these states, such as `dead,paused`. A job that a session is on is running, and pending, too
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(State::ALL.map(State::as_str)))]
    state: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// In which order
    #[arg(long, value_enum, default_value = "state")]
    sort: Order,
    /// At most so many [default: 50, and all with --json]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// Which jobs, besides their states.
#[derive(Clone, Debug, Default, Clap)]
struct Conditions {
    /// Of this agent only, or of all that fit a pattern such as `agt_6*`
    #[arg(long, value_name = "PATTERN")]
    prefix: Option<String>,
    /// Any of these kinds
    #[arg(long, value_delimiter = ',', value_parser = PossibleValuesParser::new(Kind::names()))]
    kind: Vec<String>,
    /// With this SQLSTATE in the last error, or with one of a class such as `53*`
    #[arg(long, value_name = "PATTERN", value_parser = upper_case)]
    sqlstate: Option<String>,
    /// Created within this time, such as `2h`
    #[arg(long, value_name = "TIME", value_parser = age::parse)]
    since: Option<Duration>,
}

/// As the server writes SQLSTATEs.
#[expect(clippy::unnecessary_wraps, reason = "an argument's parser may fail")]
fn upper_case(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(text.to_ascii_uppercase())
}

impl Conditions {
    /// Whether they name one prefix and nothing else.
    fn one_prefix(&self) -> Option<&str> {
        let others = !self.kind.is_empty() || self.sqlstate.is_some() || self.since.is_some();
        self.prefix.as_deref().filter(|prefix| !others && !prefix.contains(['*', '?']))
    }

    fn filter(self, states: &[String]) -> Filter {
        Filter {
            states: states.iter().map(|state| State::parse(state)).collect(),
            prefix: self.prefix,
            kinds: self.kind.iter().filter_map(|kind| Kind::parse(kind)).collect(),
            sqlstate: self.sqlstate,
            since: self.since,
            ..Filter::default()
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// Running, dead, paused, pending, finished
    State,
    /// The oldest first
    Age,
    /// By prefix
    Prefix,
    /// The most failures first
    Failures,
}

/// What names jobs, or finds them.
const WHICH: [&str; 7] = ["ids", "all_dead", "state", "prefix", "kind", "sqlstate", "since"];
/// What finds them.
const FILTERS: [&str; 5] = ["state", "prefix", "kind", "sqlstate", "since"];

#[derive(Clone, Debug, Clap)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(WHICH))]
struct Replay {
    /// The jobs' numbers
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..), conflicts_with_all = FILTERS)]
    ids: Vec<i64>,
    /// Every dead job; paused deletions stay paused
    #[arg(long, conflicts_with = "ids", conflicts_with_all = FILTERS)]
    all_dead: bool,
    /// Dead jobs (the default), pending ones, or both. A filter never approves a deletion
    #[arg(long, value_delimiter = ',', value_parser = ["dead", "pending"])]
    state: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// Ask nothing. More than the dead jobs of one prefix are replayed by a filter only after a question, or with this
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    how: How,
}

/// How jobs go back into the queue.
#[derive(Clone, Debug, Clap)]
struct How {
    #[command(flatten)]
    record: Record,
    /// Follow the jobs to their ends; exit 1 when one is dead or paused again
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Clap)]
struct Approve {
    #[command(flatten)]
    which: WhichPaused,
    #[command(flatten)]
    how: How,
}

#[derive(Clone, Debug, Clap)]
#[group(required = true, multiple = false)]
struct WhichPaused {
    /// The jobs' numbers
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    /// Every paused deletion
    #[arg(long)]
    all: bool,
}

#[derive(Clone, Debug, Clap)]
#[command(group = ArgGroup::new("which").required(true).multiple(true).args(WHICH.iter().filter(|arg| **arg != "all_dead")))]
struct Cancel {
    /// The jobs' numbers
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..), conflicts_with_all = FILTERS)]
    ids: Vec<i64>,
    /// Any of these states; without it all three
    #[arg(long, value_delimiter = ',', value_parser = ["pending", "dead", "paused"])]
    state: Vec<String>,
    #[command(flatten)]
    conditions: Conditions,
    /// Ask nothing. What a filter finds is cancelled only after a question, or with this
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    record: Record,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Clap)]
struct Record {
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// Change nothing, only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    match args.verb {
        Verb::List(args) => list(instance, &args, &mut stdout()).await.map(|()| ExitCode::SUCCESS),
        Verb::Watch(args) => watch(args.json, async |out| list(instance, &args, out).await).await,
        Verb::Show { id, json } => show(instance, id, json).await,
        Verb::Replay(args) => replay(actor, instance, args).await,
        Verb::Approve(args) => approve(actor, instance, args).await,
        Verb::Cancel(args) => cancel(actor, instance, args).await,
        Verb::Prune { older_than, dry_run, json } => {
            let pruned = jobs::prune(actor, instance, older_than, dry_run).await?;
            if json {
                print_json(&mut stdout(), &Pruned { jobs: pruned, dry_run })?;
                return Ok(ExitCode::SUCCESS);
            }
            let verb = if dry_run { "would delete" } else { "deleted" };
            writeln!(stdout(), "{verb} {}", job_text::count(pruned))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(instance: &Instance, args: &List, out: &mut impl Write) -> Result<(), Error> {
    let limit = args.limit.or((!args.json).then_some(50));
    let filter = Filter {
        sort: match args.sort {
            Order::State => Sort::State,
            Order::Age => Sort::Age,
            Order::Prefix => Sort::Prefix,
            Order::Failures => Sort::Failures,
        },
        limit,
        ..args.conditions.clone().filter(&args.state)
    };
    let listed = jobs::list(instance, &filter).await?;
    let printed =
        if args.json { print_json(out, &listed.jobs) } else { job_text::list(out, &listed) };
    Ok(printed?)
}

async fn show(instance: &Instance, id: i64, json: bool) -> Result<ExitCode, Error> {
    let shown = jobs::show(instance, id).await?;
    let mut out = stdout().lock();
    if json {
        print_json(&mut out, &shown)?;
    } else {
        job_text::show(&mut out, &shown)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(actor: &Actor, instance: &Instance, args: Replay) -> Result<ExitCode, Error> {
    let Replay { ids, all_dead, mut state, conditions, yes, how } = args;
    let target = if !ids.is_empty() {
        Target::Ids(ids)
    } else if all_dead {
        Target::AllDead
    } else if let (true, Some(prefix)) = (state.is_empty(), conditions.one_prefix()) {
        Target::Prefix(prefix.to_owned())
    } else {
        if state.is_empty() {
            state.push("dead".to_owned());
        }
        let filter = conditions.filter(&state);
        let How { record, wait, json } = how;
        return match found(actor, instance, Change::Replay, &filter, record, yes, json).await? {
            Settled::Nothing(code) => Ok(code),
            Settled::Done(answers) => end(instance, answers, wait, json, false).await,
        };
    };
    release(actor, instance, "replay", &target, how).await
}

/// What became of the jobs that a filter found.
enum Settled {
    Nothing(ExitCode),
    Done(Vec<JobResult>),
}

/// Shows how many jobs a filter finds, asks, and does it. All but a JSON answer is printed.
async fn found(
    actor: &Actor,
    instance: &Instance,
    change: Change,
    filter: &Filter,
    record: Record,
    yes: bool,
    json: bool,
) -> Result<Settled, Error> {
    let verb = if change == Change::Replay { "replay" } else { "cancel" };
    let previewed = jobs::preview(actor, instance, change, filter).await?;
    let shown = jobs::with(&previewed, ResultKind::DryRun).count();
    let question = format!("{verb} {}?", job_text::count(shown.try_into().unwrap_or(i64::MAX)));
    let unasked = record.dry_run || shown == 0;
    if !json && (unasked || !yes) {
        job_text::answers(&mut stdout(), &mut stderr(), verb, &previewed)?;
    }
    let nothing = if unasked { Some(ExitCode::SUCCESS) } else { confirm(&question, yes)? };
    if let Some(code) = nothing {
        if json {
            print_json(&mut stdout(), &previewed)?;
        }
        return Ok(Settled::Nothing(code));
    }
    let done = jobs::carry_out(actor, instance, change, filter, &previewed, record.reason).await?;
    if !json {
        job_text::answers(&mut stdout(), &mut stderr(), verb, &done)?;
    }
    Ok(Settled::Done(done))
}

async fn approve(actor: &Actor, instance: &Instance, args: Approve) -> Result<ExitCode, Error> {
    let WhichPaused { ids, .. } = args.which;
    let target = if ids.is_empty() { Target::AllPaused } else { Target::Paused(ids) };
    release(actor, instance, "approve", &target, args.how).await
}

/// Puts jobs back into the queue. A job that was named and cannot go back is a failure.
async fn release(
    actor: &Actor,
    instance: &Instance,
    verb: &str,
    target: &Target,
    how: How,
) -> Result<ExitCode, Error> {
    let How { record, wait, json } = how;
    let answers = jobs::replay(actor, instance, target, record.into()).await?;
    let named = matches!(target, Target::Ids(_) | Target::Paused(_));
    let refused = named && answers.iter().any(refuses);
    if !json {
        job_text::answers(&mut stdout(), &mut stderr(), verb, &answers)?;
    }
    end(instance, answers, wait, json, refused).await
}

/// Follows jobs that went back into the queue where that was asked for, and says how all of it ended.
async fn end(
    instance: &Instance,
    mut answers: Vec<JobResult>,
    wait: bool,
    json: bool,
    refused: bool,
) -> Result<ExitCode, Error> {
    let mut failed = false;
    if wait {
        let mut reporter = Reporter::new(answers.len());
        let followed =
            jobs::follow(instance, &mut answers, |progress| reporter.tell(progress)).await?;
        if !json {
            job_text::ends(&mut stdout(), &followed)?;
        }
        failed = jobs::any_failed(&followed);
    }
    if json {
        print_json(&mut stdout(), &answers)?;
    }
    Ok(if refused || failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn cancel(actor: &Actor, instance: &Instance, args: Cancel) -> Result<ExitCode, Error> {
    if args.ids.is_empty() {
        let mut states = args.state;
        if states.is_empty() {
            states = ["pending", "dead", "paused"].map(str::to_owned).to_vec();
        }
        let (filter, json) = (args.conditions.filter(&states), args.json);
        let found = found(actor, instance, Change::Cancel, &filter, args.record, args.yes, json);
        return match found.await? {
            Settled::Nothing(code) => Ok(code),
            Settled::Done(answers) => end(instance, answers, false, json, false).await,
        };
    }
    let answers = jobs::cancel(actor, instance, &args.ids, args.record.into()).await?;
    if args.json {
        print_json(&mut stdout(), &answers)?;
    } else {
        job_text::answers(&mut stdout(), &mut stderr(), "cancel", &answers)?;
    }
    Ok(if answers.iter().any(refuses) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl From<Record> for Request {
    fn from(Record { reason, dry_run }: Record) -> Self {
        Self { reason, dry_run }
    }
}

fn refuses(answer: &JobResult) -> bool {
    matches!(answer.result, ResultKind::Skipped | ResultKind::Missing)
}
