//! Jobs as text for people.

use std::io::{self, Write};

use super::age::age;
use super::output::{about, stdout};
use super::table::{Table, clean, counted, or_dash};
use crate::operations::jobs::{
    Attempt, COUNTED, Cause, End, Followed, JobResult, JobView, Kind, Listed, ResultKind, Running,
    Shown, State,
};
use crate::operations::{HeldBack, Queued, RolloutSummary};

/// More jobs than this are counted and not named.
const NAMED: usize = 20;

const HIDDEN: &str = "How long a job has been running is hidden from this role; \
                      `grant pg_read_all_stats to …` shows it.";

pub(super) fn list(out: &mut impl Write, listed: &Listed) -> io::Result<()> {
    let Listed { jobs, total, blocked } = listed;
    if jobs.is_empty() {
        return writeln!(out, "no jobs");
    }
    let mut table =
        Table::list_with_notes(&["ID", "STATE", "KIND", "PREFIX", "FAILED", "AGE", "NOTE"]);
    for job in jobs {
        table.row([
            job.id.to_string(),
            job.state.as_str().to_owned(),
            clean(&job.kind),
            job.agent_prefix.clone(),
            job.attempts.to_string(),
            or_dash(job.age_seconds.map(age)),
            note(job),
        ]);
    }
    table.print(out, 0)?;
    let shown = i64::try_from(jobs.len()).unwrap_or(i64::MAX);
    if shown < *total {
        let more = if *total < COUNTED { "" } else { " or more" };
        writeln!(
            out,
            "\n{shown} of {total} jobs{more}: --limit shows more, other filters choose."
        )?;
    }
    if jobs.iter().filter_map(|job| job.running.as_ref()).any(|running| running.seconds.is_none()) {
        writeln!(out, "\n{HIDDEN}")?;
    }
    if !blocked.is_empty() {
        writeln!(out, "\nBlocked prefixes:")?;
    }
    for by in blocked {
        let waiting = count(by.waiting);
        let (prefix, kind, id) = (clean(&by.agent_prefix), clean(&by.kind), by.id);
        let (state, verb) = (by.state.as_str(), if by.waiting == 1 { "waits" } else { "wait" });
        writeln!(
            out,
            "  {prefix}: {waiting} {verb} for {state} job {id} ({kind}); see: jobs show {id}"
        )?;
    }
    Ok(())
}

/// What matters about a job in its state.
fn note(job: &JobView) -> String {
    let error = || job.cause.error.clone().unwrap_or_default();
    match job.state {
        State::Running => {
            let on = job.running.as_ref().map_or_else(String::new, |running| on(running, job));
            held_up(job).map_or_else(|| on.clone(), |held_up| format!("{on}, {held_up}"))
        }
        State::Dead | State::Paused => error(),
        State::Cancelled => job.outcome.clone().unwrap_or_default(),
        State::Succeeded => {
            let took = job.duration_ms.map_or_else(String::new, |ms| format!(" in {ms} ms"));
            format!("{}{took}", job.outcome.as_deref().unwrap_or_default())
        }
        State::Pending => match (&job.waits_for, &job.run_at) {
            (Some(earlier), _) => {
                format!("waits for {} job {}", earlier.state.as_str(), earlier.id)
            }
            (None, _) if !job.blocked_by.is_empty() => held_up(job).unwrap_or_default(),
            (None, _) if job.untaken => untaken(job),
            (None, Some(at)) if at == "infinity" => {
                format!("put off for good; to have it run: jobs replay {}", job.id)
            }
            (None, Some(at)) if job.cause.is_disk_full() => {
                format!("the server's disk was full; next at {at}")
            }
            (None, Some(at)) if job.lock_wanted.is_some() => {
                format!("gave way to a lock; next at {at}")
            }
            (None, Some(at)) if job.attempts > 0 => format!("next at {at}; {}", error()),
            (None, _) => String::new(),
        },
    }
}

fn untaken(job: &JobView) -> String {
    match job.template_version {
        Some(version) => format!("no worker has templates of version {version}"),
        None => "no worker takes it: is `agent-provisioner run` up?".to_owned(),
    }
}

/// Who, and how many others.
fn held_up(job: &JobView) -> Option<String> {
    let (first, others) = job.blocked_by.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!("held up by {first}{others}"))
}

fn on(running: &Running, job: &JobView) -> String {
    let long = running.seconds.map_or_else(String::new, |seconds| format!("for {seconds} s "));
    let pids: Vec<String> = running.blocked_by_pids.iter().map(ToString::to_string).collect();
    let lock = if pids.is_empty() || !job.blocked_by.is_empty() {
        String::new()
    } else {
        format!(", waiting for a lock of backend {}", pids.join(", "))
    };
    format!("{long}on backend {}{lock}", running.pid)
}

pub(super) fn show(out: &mut impl Write, shown: &Shown) -> io::Result<()> {
    let Shown { job, history, next } = shown;
    let (state, prefix) = (job.state.as_str(), clean(&job.agent_prefix));
    writeln!(
        out,
        "Job {}: {} of {prefix} (agent {}) is {state}",
        job.id,
        clean(&job.kind),
        job.agent_id
    )?;
    let mut facts = Table::facts();
    facts.fact("running", job.running.as_ref().map(|running| on(running, job)));
    if job.running.as_ref().is_some_and(|running| running.seconds.is_none()) {
        facts.fact("", Some(HIDDEN));
    }
    facts.fact("role", job.running.as_ref().and_then(|running| running.role.as_ref()));
    facts.fact(
        "waits for",
        job.waits_for.as_ref().map(|by| format!("job {}, which is {}", by.id, by.state.as_str())),
    );
    facts.fact("gave way", Some(job.give_ways).filter(|times| *times > 0).map(times));
    for holder in &job.blocked_by {
        facts.fact("held up by", Some(holder));
        facts.fact("", Some(format!("to end it: {}", holder.way_out)));
    }
    facts.fact("user", job.user_id.as_ref());
    facts.fact("requested by", job.requested_by.as_ref());
    facts.fact("wanted", wanted(job));
    facts.fact("so far", job.keys_removed.then_some("foreign keys are taken off"));
    facts.fact(
        "asked for",
        (job.unreported && job.is(Kind::Deprovision))
            .then_some("by nobody: the tables were found without their agent"),
    );
    facts.fact("priority", Some(job.priority));
    facts.fact("failures", Some(job.attempts));
    facts.fact("created", job.created_at.as_ref());
    facts.fact("due", job.run_at.as_ref().filter(|_| job.state == State::Pending));
    facts.fact("finished", job.finished_at.as_ref());
    facts.fact("took", job.duration_ms.map(|ms| format!("{ms} ms")));
    facts.fact("outcome", job.outcome.as_ref());
    // It stays in the record of a job that succeeded later.
    let label = match job.state {
        State::Dead => "error",
        State::Paused => "why",
        State::Running | State::Pending | State::Succeeded | State::Cancelled => "last error",
    };
    cause(&mut facts, label, &job.cause);
    facts.fact("approved", job.deletion_confirmed.then_some("yes"));
    facts.fact("replayed by", job.replayed_by.as_ref());
    facts.fact("replayed at", job.replayed_at.as_ref());
    facts.fact("reason", job.replay_reason.as_ref());
    for (index, attempt) in history.iter().enumerate() {
        facts.fact(if index == 0 { "history" } else { "" }, Some(line(attempt, job)));
    }
    facts.fact("next", Some(next));
    facts.print(out, 2)
}

/// An attempt. What is the job's own error is shown once.
fn line(attempt: &Attempt, job: &JobView) -> String {
    let Attempt { number, times, started_at, ended_at, duration_ms, host, pid, .. } = attempt;
    let started = started_at.as_deref().unwrap_or_default();
    let took = duration_ms.map_or_else(String::new, |ms| format!(", {ms} ms"));
    let when = if *times == 1 {
        format!("{started}{took}")
    } else {
        let ended = ended_at.as_deref().unwrap_or_default();
        format!("{times} times from {started} to {ended}, the last{}", took.trim_start_matches(','))
    };
    let worker = match (host, pid) {
        (Some(host), Some(pid)) => format!(" on {host} (pid {pid})"),
        (Some(host), None) => format!(" on {host}"),
        (None, _) => String::new(),
    };
    let result = attempt.result.replace('_', " ");
    let result =
        attempt.outcome.as_ref().map_or(result.clone(), |outcome| format!("{result}, {outcome}"));
    let other = attempt.error.as_ref().filter(|error| job.cause.error.as_ref() != Some(error));
    let error = other.map_or_else(String::new, |error| format!(": {error}"));
    format!("{number}. {when}{worker}: {result}{error}")
}

/// What the kind alone does not say.
fn wanted(job: &JobView) -> Option<String> {
    let version = job.template_version.map(|version| format!("template version {version}"));
    let reference = job.reference.as_ref().map(|reference| format!("reference {reference}"));
    version.or(reference).or_else(|| job.force.then(|| "to replace what differs, too".to_owned()))
}

/// The error, and its parts.
fn cause(facts: &mut Table, label: &'static str, cause: &Cause) {
    let Cause { error, error_code, sqlstate, file, line, statement, detail, hint, .. } = cause;
    facts.fact(label, error.as_ref());
    facts.fact("code", error_code.as_ref());
    facts.fact("SQLSTATE", sqlstate.as_ref());
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    facts.fact("file", file.as_ref().map(|file| format!("{file}{line}")));
    facts.fact("statement", statement.as_ref());
    facts.fact("detail", detail.as_ref());
    facts.fact("hint", hint.as_ref());
}

fn times(times: i32) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

/// What was done goes to `out`, what was not and why to `err`.
pub(super) fn answers(
    out: &mut impl Write,
    err: &mut impl Write,
    verb: &str,
    answers: &[JobResult],
) -> io::Result<()> {
    let with = |verdict| answers.iter().filter(move |answer| answer.result == verdict);
    let past = match verb {
        "replay" => "replayed",
        "approve" => "approved",
        _ => "cancelled",
    };
    let would: Vec<_> = with(ResultKind::DryRun).collect();
    let done: Vec<_> = with(ResultKind::Done).map(|answer| answer.id).collect();
    let total = i64::try_from(done.len() + would.len()).unwrap_or(i64::MAX);
    if !would.is_empty() {
        writeln!(out, "would {verb} {}", count(total))?;
        let mut table = Table::list(&["ID", "KIND", "PREFIX"]);
        for answer in would {
            let kind = or_dash(answer.kind.as_ref());
            table.row([answer.id.to_string(), kind, or_dash(answer.agent_prefix.as_ref())]);
        }
        table.print(out, 0)?;
    } else if !done.is_empty() && done.len() <= NAMED {
        let ids: Vec<String> = done.iter().map(ToString::to_string).collect();
        writeln!(out, "{past} {}: {}", count(total), ids.join(", "))?;
    } else {
        writeln!(out, "{past} {}", count(total))?;
    }
    for answer in answers {
        if let Some(reason) = &answer.reason {
            writeln!(err, "agent-provisioner: job {}: {}", answer.id, clean(reason))?;
        }
        if let Some(next) = &answer.next {
            writeln!(out, "job {}: {}", answer.id, clean(next))?;
        }
    }
    Ok(())
}

pub(super) fn ends(out: &mut impl Write, jobs: &[Followed]) -> io::Result<()> {
    failures(out, jobs)?;
    let succeeded = jobs.iter().filter(|job| job.end == Some(End::Succeeded)).count();
    writeln!(out, "{} succeeded", count(i64::try_from(succeeded).unwrap_or(i64::MAX)))
}

/// Those that came to a bad end.
pub(super) fn failures(out: &mut impl Write, jobs: &[Followed]) -> io::Result<()> {
    for job in jobs {
        let id = job.id;
        match job.end {
            Some(End::Dead) => {
                let error = clean(job.error.as_deref().unwrap_or_default());
                writeln!(out, "job {id} is dead: {error}; see: jobs show {id}")?;
            }
            Some(End::Paused) => {
                writeln!(out, "job {id} is paused: to approve it: jobs approve {id}")?;
            }
            Some(End::Blocked) => {
                writeln!(out, "job {id} waits for a dead or paused job: jobs show {id}")?;
            }
            Some(End::Cancelled) => writeln!(out, "job {id} was cancelled")?,
            Some(End::Succeeded) | None => {}
        }
    }
    Ok(())
}

/// In words, with the right number of the noun.
pub(super) fn count(jobs: i64) -> String {
    counted(jobs, "job")
}

/// How many jobs were queued.
pub(super) fn queued(queued: &Queued) -> io::Result<()> {
    writeln!(stdout(), "queued {}", count(queued.jobs.len().try_into().unwrap_or(i64::MAX)))
}

/// Which agents were left out, and why.
pub(super) fn held_back(held_back: &[HeldBack]) -> io::Result<()> {
    let mut err = io::stderr().lock();
    for HeldBack { prefix, job, kind } in held_back {
        writeln!(
            err,
            "agent-provisioner: {}{prefix} is left out: its {kind} job {job} is dead; see: jobs show {job}",
            about()
        )?;
    }
    Ok(())
}

/// What came of a rollout, and how to go on.
pub(super) fn summary(out: &mut impl Write, summary: &RolloutSummary) -> io::Result<()> {
    let count = |jobs: usize| count(i64::try_from(jobs).unwrap_or(i64::MAX));
    failures(out, &summary.failed)?;
    writeln!(out, "{} succeeded, {} failed", count(summary.succeeded), summary.failed.len())?;
    let undone = summary.left + summary.cancelled;
    if let Some(failures) = summary.stopped_after {
        let (failures, undone) = (counted(failures, "failure"), counted(undone, "agent"));
        writeln!(out, "stopped after {failures}: not begun: {undone}")?;
    } else if undone > 0 {
        writeln!(out, "{} cancelled", count(undone))?;
    }
    if !summary.is_clean() {
        writeln!(
            out,
            "to go on: fix the cause, `jobs replay` what is dead, then run the same command again"
        )?;
    }
    Ok(())
}
