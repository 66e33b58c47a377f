//! `agent-provisioner jobs`

use std::ffi::OsString;
use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args as Clap, Subcommand};
use tokio_postgres::Client;

use super::{Error, connect_current, failed, job_text, wait};
use crate::config::Config;
use crate::jobs::desk::{self, Answer, By, Cause, End, Filter, State, Target, Verdict};

#[derive(Debug, Clap)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List jobs: running, dead, paused, pending, finished; the newest first in each
    List(List),
    /// Print everything about a job, and what to do next
    Show {
        #[arg(value_parser = clap::value_parser!(i64).range(1..))]
        id: i64,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Queue dead jobs again, in the places they had; a paused deletion whose ID is given is approved, which needs
    /// the role that `approve` needs
    Replay(Replay),
    /// Approve deletions that are paused: they go through, and the deletion limit does not count them. Needs the role
    /// that owns schema provisioning, such as postgres
    Approve(Approve),
    /// Take pending, dead and paused jobs out of the queue for good: a paused deletion is refused
    Cancel(Cancel),
    /// Delete succeeded and cancelled jobs that are old; never dead, paused or pending ones
    Prune {
        /// How long ago they ended, such as `30d` or `12h`
        #[arg(long, default_value = "30d", value_parser = humantime::parse_duration)]
        older_than: Duration,
        /// Only count them
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Clap)]
struct List {
    #[arg(long)]
    state: Option<State>,
    #[arg(long)]
    prefix: Option<String>,
    #[arg(long, value_parser = ["provision", "deprovision", "upgrade", "repair", "convert"])]
    kind: Option<String>,
    /// At most so many [default: 50, and all with --json]
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..))]
    limit: Option<i64>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clap)]
struct Replay {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
}

/// How jobs go back into the queue.
#[derive(Debug, Clap)]
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

#[derive(Debug, Clap)]
#[group(required = true, multiple = false)]
struct Which {
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    /// Every dead job; paused deletions stay paused
    #[arg(long)]
    all_dead: bool,
    /// The dead jobs of one prefix
    #[arg(long)]
    prefix: Option<String>,
}

#[derive(Debug, Clap)]
struct Approve {
    #[command(flatten)]
    which: WhichPaused,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, Clap)]
#[group(required = true, multiple = false)]
struct WhichPaused {
    #[arg(value_name = "ID", value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    /// Every paused deletion
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clap)]
struct Cancel {
    #[arg(value_name = "ID", required = true, value_parser = clap::value_parser!(i64).range(1..))]
    ids: Vec<i64>,
    #[command(flatten)]
    record: Record,
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clap)]
struct Record {
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// Who, for the record, besides the database role
    #[arg(long, env = "USER", hide_env_values = true)]
    by: Option<OsString>,
    /// Change nothing, only say what would be done
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn main(args: Args, config: &Config) -> Result<ExitCode, Error> {
    let client = connect_current(config).await?;
    match args.verb {
        Verb::List(args) => list(&client, args).await,
        Verb::Show { id, json } => show(&client, id, json).await,
        Verb::Replay(args) => replay(&client, args).await,
        Verb::Approve(args) => approve(&client, args).await,
        Verb::Cancel(args) => cancel(&client, args).await,
        Verb::Prune { older_than, dry_run } => {
            let pruned = desk::prune(&client, older_than, dry_run).await;
            let pruned = pruned.map_err(failed("pruning the jobs"))?;
            let verb = if dry_run { "would delete" } else { "deleted" };
            writeln!(stdout(), "{verb} {}", job_text::count(pruned))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn list(client: &Client, args: List) -> Result<ExitCode, Error> {
    let limit = args.limit.or((!args.json).then_some(50));
    let filter = Filter { state: args.state, prefix: args.prefix, kind: args.kind, limit };
    let jobs = desk::list(client, &filter).await.map_err(failed("listing the jobs"))?;
    let mut out = stdout().lock();
    if args.json {
        print_json(&mut out, &jobs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let blocked = desk::blocked(client, filter.prefix.as_deref()).await;
    let blocked = blocked.map_err(failed("looking for blocked prefixes"))?;
    job_text::list(&mut out, &jobs, &blocked, limit)?;
    Ok(ExitCode::SUCCESS)
}

async fn show(client: &Client, id: i64, json: bool) -> Result<ExitCode, Error> {
    let job = desk::find(client, id).await.map_err(failed("reading the job"))?;
    let job = job.ok_or(Error::NoJob(id))?;
    let cause = Cause::of(job.error.as_deref().unwrap_or_default());
    let next = desk::next(&job);
    let mut out = stdout().lock();
    if json {
        #[derive(serde::Serialize)]
        struct Shown<'a> {
            #[serde(flatten)]
            job: &'a desk::Entry,
            #[serde(flatten)]
            cause: &'a Cause,
            next: &'a str,
        }
        print_json(&mut out, &Shown { job: &job, cause: &cause, next: &next })?;
    } else {
        job_text::show(&mut out, &job, &cause, &next)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn replay(client: &Client, args: Replay) -> Result<ExitCode, Error> {
    let Which { ids, prefix, .. } = args.which;
    let target = match prefix {
        Some(prefix) => Target::Prefix(prefix),
        None if ids.is_empty() => Target::AllDead,
        None => Target::Ids(ids),
    };
    release(client, "replay", &target, args.how).await
}

async fn approve(client: &Client, args: Approve) -> Result<ExitCode, Error> {
    let WhichPaused { ids, .. } = args.which;
    let target = if ids.is_empty() { Target::AllPaused } else { Target::Paused(ids) };
    release(client, "approve", &target, args.how).await
}

/// Puts jobs back into the queue. A job that was named and cannot go back is a failure.
async fn release(
    client: &Client,
    verb: &str,
    target: &Target,
    how: How,
) -> Result<ExitCode, Error> {
    let How { record, wait, json } = how;
    let mut answers = desk::replay(client, target, &record.by()).await?;
    let named = matches!(target, Target::Ids(_) | Target::Paused(_));
    let refused = named && answers.iter().any(refuses);
    if !json {
        job_text::answers(&mut stdout(), &mut stderr(), verb, &answers)?;
    }
    let mut unwell = false;
    if wait {
        unwell = follow(client, &mut answers, json).await?;
    }
    if json {
        print_json(&mut stdout(), &answers)?;
    }
    Ok(if refused || unwell { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Says whether any of them came to a bad end.
async fn follow(client: &Client, answers: &mut [Answer], quiet: bool) -> Result<bool, Error> {
    let open = |answer: &&Answer| matches!(answer.result, Verdict::Done | Verdict::Unchanged);
    let ids: Vec<i64> = answers.iter().filter(open).map(|answer| answer.id).collect();
    if ids.is_empty() {
        return Ok(false);
    }
    let followed = wait::until_ended(client, &ids).await?;
    for answer in answers {
        // Both in the order of their ids.
        let found = followed.binary_search_by_key(&answer.id, |job| job.id).ok();
        answer.end = found.and_then(|index| followed.get(index)).and_then(|job| job.end);
    }
    if !quiet {
        job_text::ends(&mut stdout(), &followed)?;
    }
    Ok(followed.iter().any(|job| matches!(job.end, Some(End::Dead | End::Paused | End::Blocked))))
}

async fn cancel(client: &Client, args: Cancel) -> Result<ExitCode, Error> {
    let answers = desk::cancel(client, &args.ids, &args.record.by()).await;
    let answers = answers.map_err(failed("cancelling the jobs"))?;
    if args.json {
        print_json(&mut stdout(), &answers)?;
    } else {
        job_text::answers(&mut stdout(), &mut stderr(), "cancel", &answers)?;
    }
    Ok(if answers.iter().any(refuses) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Record {
    fn by(self) -> By {
        let given = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let who = self.by.map(|who| who.to_string_lossy().into_owned());
        By { who: given(who), reason: given(self.reason), dry_run: self.dry_run }
    }
}

fn refuses(answer: &Answer) -> bool {
    matches!(answer.result, Verdict::Skipped | Verdict::Missing)
}

pub(super) fn print_json(
    out: &mut impl Write,
    value: &impl serde::Serialize,
) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}
