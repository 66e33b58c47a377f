//! `agent-provisioner doctor`

use std::io::{self, Write};
use std::process::ExitCode;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args as Clap, Subcommand};
use crossterm::style::Stylize;

use super::group::Shape;
use super::output::stdout;
use super::table::{Table, clean, coloured, or_dash, print_json};
use super::{By, Error};
use crate::operations::Actor;
use crate::operations::doctor::{self, Acceptance, Severity};
use crate::service::Instance;
use crate::telemetry::Printable;

#[derive(Clone, Debug, Clap)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) by: By,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Accept a finding: it is listed, and is no failure. Needs the role that owns schema provisioning, such as postgres
    Accept {
        /// As `doctor` prints it
        key: String,
        /// Why
        #[arg(long, value_parser = NonEmptyStringValueParser::new())]
        reason: String,
        /// Through this day, in UTC, such as 2027-03-31 [default: for good]
        #[arg(long, value_name = "DATE", value_parser = day)]
        until: Option<String>,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the findings that were accepted
    Accepted {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Take an acceptance back
    Withdraw {
        /// As `doctor accepted` prints it
        key: String,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
}

impl Args {
    /// Whether every database can be asked at once.
    pub(super) fn shape(&self) -> Option<Shape> {
        match &self.verb {
            None => Some(Shape { json: self.json, changes: false }),
            Some(Verb::Accepted { json }) => Some(Shape { json: *json, changes: false }),
            Some(Verb::Accept { .. } | Verb::Withdraw { .. }) => None,
        }
    }
}

fn day(text: &str) -> Result<String, String> {
    doctor::is_open_day(text)
        .then(|| text.to_owned())
        .ok_or_else(|| "not a day that is to come, such as 2027-03-31".to_owned())
}

pub(super) async fn main(
    args: &Args,
    actor: &Actor,
    instance: &Instance,
) -> Result<ExitCode, Error> {
    match &args.verb {
        None => return examine(args.json, instance).await,
        Some(Verb::Accept { key, reason, until, json }) => {
            let accepted = doctor::accept(actor, instance, key, reason, until.as_deref()).await?;
            if *json {
                print_json(&mut stdout(), &accepted)?;
            } else {
                list(&[accepted])?;
            }
        }
        Some(Verb::Accepted { json }) => {
            let accepted = doctor::accepted(instance).await?;
            if *json {
                print_json(&mut stdout(), &accepted)?;
            } else {
                list(&accepted)?;
            }
        }
        Some(Verb::Withdraw { key, json }) => {
            let withdrawn = doctor::withdraw(actor, instance, key).await?;
            if *json {
                print_json(&mut stdout(), &withdrawn)?;
            } else {
                writeln!(stdout(), "accepted no more: {}", clean(key))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(accepted: &[Acceptance]) -> io::Result<()> {
    if accepted.is_empty() {
        return writeln!(stdout(), "no finding is accepted");
    }
    let mut table = Table::list_with_notes(&["KEY", "BY", "SINCE", "UNTIL", "REASON"]);
    for Acceptance { key, accepted_by, accepted_at, until, holds, reason, .. } in accepted {
        let until = match (until, holds) {
            (Some(day), false) => format!("{day}, over"),
            (day, _) => or_dash(day.as_deref()),
        };
        let row = [key.clone(), accepted_by.clone(), accepted_at.clone(), until, reason.clone()];
        table.row(row);
    }
    table.print(&mut stdout().lock(), 0)
}

/// Exit code 1 where `run` could not work; warnings are no failure, and neither is what somebody has accepted.
async fn examine(json: bool, instance: &Instance) -> Result<ExitCode, Error> {
    let findings = doctor::examine(instance).await?;
    let mut out = stdout().lock();
    if json {
        print_json(&mut out, &findings)?;
    } else {
        for finding in &findings {
            let accepted = finding.accepted.as_ref();
            let mark = match (finding.severity, coloured()) {
                _ if accepted.is_some() => "acc ".stylize(),
                (Severity::Ok, _) => "ok  ".stylize(),
                (Severity::Warning, false) => "WARN".stylize(),
                (Severity::Failure, false) => "FAIL".stylize(),
                (Severity::Warning, true) => "WARN".yellow(),
                (Severity::Failure, true) => "FAIL".red(),
            };
            writeln!(out, "{mark}  {:<14} {}", finding.what, Printable(&finding.found))?;
            if let Some(Acceptance { accepted_by, until, reason, .. }) = accepted {
                let until = until.as_ref().map(|day| format!(" until {day}")).unwrap_or_default();
                let accepted = format!("accepted by {accepted_by}{until}: {reason}");
                writeln!(out, "{:21}{}", "", Printable(&accepted))?;
            }
            if finding.severity != Severity::Ok {
                writeln!(out, "{:21}key: {}", "", finding.key)?;
            }
            if let Some(fix) = &finding.fix {
                let lines: Vec<_> = fix.lines().map(|line| Printable(line).to_string()).collect();
                writeln!(out, "{:21}fix: {}", "", lines.join(&format!("\n{:21}", "")))?;
            }
        }
    }
    let failed = findings
        .iter()
        .any(|finding| finding.severity == Severity::Failure && finding.accepted.is_none());
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
