//! `agent-provisioner status`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
use super::age::age;
use super::group::Shape;
use super::output::stdout;
use super::table::{Table, clean, counted, or_dash, print_json, size};
use super::watch::watch;
use crate::operations::limits::{LargeAgent, Room};
use crate::operations::status::{
    self, Connected, LastHour, Queue, RunningJob, SeenRoom, Status, StatusReport,
};
use crate::service::Instance;

#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    /// Look again every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// As a JSON object; with --watch one a line
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        (!self.watch).then_some(Shape { json: self.json, changes: false })
    }
}

pub(super) async fn main(args: &Args, instance: &Instance) -> Result<ExitCode, Error> {
    let mut room = None;
    if args.watch {
        return watch(args.json, async |out| look(args, instance, &mut room, out).await).await;
    }
    look(args, instance, &mut room, &mut stdout()).await.map(|()| ExitCode::SUCCESS)
}

async fn look(
    args: &Args,
    instance: &Instance,
    room: &mut Option<SeenRoom>,
    out: &mut impl Write,
) -> Result<(), Error> {
    let report = status::report(instance, room).await?;
    let printed = if args.json { print_json(out, &report) } else { print(out, &report) };
    Ok(printed?)
}

fn print(out: &mut impl Write, report: &StatusReport) -> io::Result<()> {
    let Status { database, queue, lock_holders } = &report.status;
    let mut facts = Table::facts();
    facts.fact("database", Some(format!("{database}, as {}", queue.role)));
    let schema = queue.schema_version.map_or_else(|| "none".to_owned(), |v| v.to_string());
    let read_only = match queue.read_only.as_deref() {
        Some("standby") => "; a standby, which is read-only: no job runs here",
        Some(_) => "; read-only, as default_transaction_read_only is on: no job runs",
        None => "",
    };
    let server = format!("PostgreSQL {}, base schema {schema}{read_only}", queue.server_version);
    facts.fact("server", Some(server));
    facts.fact("last hour", Some(last_hour(&queue.last_hour)));
    facts.fact("templates", Some(templates(queue)));
    facts.fact("drift", Some(drift(queue)));
    facts.fact("trash", Some(trash(queue)));
    // What is reached first.
    facts.fact("room", report.room.limits.first().map(ToString::to_string));
    facts.fact("largest", largest(&report.room));
    facts.print(out, 0)?;

    writeln!(out)?;
    if queue.instances.is_empty() {
        writeln!(out, "No worker is connected.")?;
    } else {
        let mut list =
            Table::list(&["WORKER", "PID", "VERSION", "SINCE", "HEARS", "LAST SWEEP", "FOUND"]);
        queue.instances.iter().for_each(|instance| list.row(worker(instance)));
        list.print(out, 0)?;
    }

    writeln!(out)?;
    let mut list = Table::list(&["JOBS", "COUNT", "OLDEST"]);
    for jobs in &queue.jobs {
        let oldest = or_dash(jobs.oldest_age.map(age));
        list.row([jobs.state.clone(), jobs.count.to_string(), oldest]);
    }
    list.print(out, 0)?;

    if !queue.running.is_empty() {
        writeln!(out)?;
        let mut list = Table::list(&["RUNNING", "KIND", "PREFIX", "BACKEND", "FOR", "WAITS FOR"]);
        queue.running.iter().for_each(|job| list.row(running(job)));
        list.print(out, 0)?;
    }
    if !queue.blocked.is_empty() {
        writeln!(out)?;
        let mut list = Table::list(&["BLOCKED", "BY JOB", "KIND", "STATE", "JOBS BEHIND IT"]);
        for blocking in &queue.blocked {
            list.row([
                blocking.prefix.clone(),
                blocking.job.to_string(),
                blocking.kind.clone(),
                blocking.state.clone(),
                blocking.waiting.to_string(),
            ]);
        }
        list.print(out, 0)?;
        writeln!(out, "See: agent-provisioner jobs show ID")?;
    }
    for holder in lock_holders {
        writeln!(out, "\nJobs are held up by {holder}.\n  To end it: {}", clean(&holder.way_out))?;
    }
    Ok(())
}

fn largest(room: &Room) -> Option<String> {
    let named = |agent: &LargeAgent| format!("{} {}", agent.prefix, size(agent.bytes));
    let named: Vec<_> = room.largest.iter().map(named).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

fn last_hour(hour: &LastHour) -> String {
    let jobs = format!(
        "{} done, {} built",
        counted(hour.succeeded, "job"),
        counted(hour.provisioned, "agent")
    );
    match (hour.ready_p50, hour.ready_p99) {
        (Some(half), Some(most)) => {
            format!("{jobs}; INSERT to ready: half within {half:.2} s, 99 % within {most:.2} s")
        }
        (_, None) | (None, _) => jobs,
    }
}

fn templates(queue: &Queue) -> String {
    let newest = queue.newest_template;
    let version = |of: &status::TemplateVersion| {
        let behind = newest.is_some_and(|newest| of.version < newest);
        let mark = if behind { " (behind)" } else { "" };
        format!("{} at version {}{mark}", counted(of.agents, "agent"), of.version)
    };
    let versions: Vec<String> = queue.templates.iter().map(version).collect();
    if versions.is_empty() { "no agents".to_owned() } else { versions.join(", ") }
}

fn drift(queue: &Queue) -> String {
    let compared = queue.verify_age.map_or_else(
        || "agents were never compared in the background".to_owned(),
        |seconds| format!("compared {} ago", age(seconds)),
    );
    match (queue.drifted, queue.displaced) {
        (0, 0) => format!("no agent differs; {compared}"),
        (drifted, 0) => format!("different: {}; {compared}", counted(drifted, "agent")),
        (drifted, displaced) => {
            let [drifted, displaced] = [drifted, displaced].map(|number| counted(number, "agent"));
            format!("different: {drifted}; with renamed tables: {displaced}; {compared}")
        }
    }
}

fn trash(queue: &Queue) -> String {
    let trash = &queue.trash;
    let held = if trash.held { "; held: see agents purge --resume" } else { "" };
    match trash.next_purge {
        Some(seconds) => {
            let agents = counted(trash.agents, "agent");
            format!("{agents}, the next is purged in {}{held}", age(seconds))
        }
        None => counted(trash.agents, "agent") + held,
    }
}

fn worker(instance: &Connected) -> [String; 7] {
    let since = if instance.running {
        or_dash(instance.started_age.map(age))
    } else {
        let seen = instance.seen_age.map(|seconds| format!(": last seen {} ago", age(seconds)));
        format!("gone{}", seen.unwrap_or_default())
    };
    let hears = instance.listening.map(|listening| if listening { "yes" } else { "no, it polls" });
    let sweep = match (instance.sweep_age, instance.sweeps_failed) {
        (Some(seconds), _) => format!("{} ago", age(seconds)),
        (None, Some(1..)) => "failed".to_owned(),
        (None, _) => "-".to_owned(),
    };
    let found =
        instance.found_missing.unwrap_or_default() + instance.found_orphaned.unwrap_or_default();
    [
        instance.host.clone(),
        instance.pid.to_string(),
        instance.version.clone(),
        since,
        or_dash(hears),
        sweep,
        found.to_string(),
    ]
}

fn running(job: &RunningJob) -> [String; 6] {
    let waits: Vec<String> = job.waits_for.iter().map(|pid| format!("backend {pid}")).collect();
    [
        job.id.to_string(),
        job.kind.clone(),
        job.prefix.clone(),
        job.backend_pid.to_string(),
        or_dash(job.age.map(age)),
        if waits.is_empty() { "-".to_owned() } else { waits.join(", ") },
    ]
}
