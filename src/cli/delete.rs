//! `agent-provisioner agents delete`

use std::io::{self, Write, stderr};
use std::process::ExitCode;

use clap::Args as Clap;

use super::output::stdout;
use super::progress::Reporter;
use super::table::{clean, print_json};
use super::{Error, job_text};
use crate::agent::Prefix;
use crate::operations::delete::{self, Report};
use crate::operations::{Actor, jobs};
use crate::service::Instance;

/// As the owner of schema `provisioning`, such as `postgres`
#[derive(Clone, Debug, Clap)]
pub(super) struct Args {
    #[arg(required = true)]
    prefixes: Vec<Prefix>,
    /// Do it: the tables go to the trash for as long as `deprovision.retention` says
    #[arg(long)]
    yes: bool,
    /// Wait until the tables are gone
    #[arg(long)]
    wait: bool,
    /// As a JSON array, one object an agent
    #[arg(long)]
    json: bool,
}

/// Exit code 2 where nothing was done for want of `--yes`.
pub(super) async fn main(
    args: Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    let Args { prefixes, yes, wait, json } = args;
    let mut reports = delete::plan(instance, &prefixes).await?;
    if yes {
        delete::request(actor, instance, &mut reports).await?;
    }
    if !json {
        reports.iter().try_for_each(|report| print(report, yes))?;
    }
    let mut failed = reports.iter().any(|report| report.error.is_some());
    let queued: Vec<i64> = reports.iter().filter_map(|report| report.job).collect();
    if wait && !queued.is_empty() {
        let mut reporter = Reporter::new(queued.len());
        let tell = |progress| reporter.tell(progress);
        let ended = jobs::until_ended(instance, &queued, tell).await?;
        failed |= jobs::any_failed(&ended);
        for report in &mut reports {
            let job = ended.iter().find(|job| Some(job.id) == report.job);
            report.end = job.and_then(|job| job.end);
        }
        if !json {
            job_text::ends(&mut stdout().lock(), &ended)?;
        }
    }
    if json {
        print_json(&mut stdout().lock(), &reports)?;
    }
    if !yes {
        writeln!(stderr(), "agent-provisioner: nothing was done: say --yes")?;
        return Ok(ExitCode::from(2));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn print(report: &Report, done: bool) -> io::Result<()> {
    let Report { id, tables, rows, .. } = report;
    let prefix = clean(&report.prefix);
    if let Some(error) = &report.error {
        return writeln!(stderr(), "agent-provisioner: {prefix}: {}", clean(error));
    }
    let rows =
        rows.map_or_else(|| "an unknown number of".to_owned(), |rows| format!("about {rows}"));
    let with = format!("{prefix} (agent {id}) with {tables} tables and {rows} rows");
    match report.job {
        Some(job) if report.paused => writeln!(
            stdout(),
            "nothing is deleted yet: job {job}, which would delete {with}, waits for approval: agent-provisioner jobs show {job}"
        ),
        Some(job) => writeln!(stdout(), "job {job} deletes {with}"),
        None if done => writeln!(stdout(), "asked for the deletion of {with}"),
        None => writeln!(stdout(), "would delete {with}"),
    }
}
