//! `agent-provisioner doctor`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;
use crossterm::style::Stylize;

use super::Error;
use super::table::coloured;
use crate::operations::doctor::{self, Severity};
use crate::service::Instance;
use crate::telemetry::Printable;

#[derive(Debug, Clap)]
pub(super) struct Args {
    /// As a JSON array
    #[arg(long)]
    json: bool,
}

/// Exit code 1 where `run` could not work; warnings are no failure.
pub(super) async fn main(args: &Args, instance: &Instance) -> Result<ExitCode, Error> {
    let findings = doctor::examine(instance).await?;
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::json!(findings))?;
    } else {
        for finding in &findings {
            let mark = match (finding.severity, coloured()) {
                (Severity::Ok, _) => "ok  ".stylize(),
                (Severity::Warning, false) => "WARN".stylize(),
                (Severity::Failure, false) => "FAIL".stylize(),
                (Severity::Warning, true) => "WARN".yellow(),
                (Severity::Failure, true) => "FAIL".red(),
            };
            writeln!(out, "{mark}  {:<14} {}", finding.what, Printable(&finding.found))?;
            if let Some(fix) = &finding.fix {
                let lines: Vec<_> = fix.lines().map(|line| Printable(line).to_string()).collect();
                writeln!(out, "{:21}fix: {}", "", lines.join(&format!("\n{:21}", "")))?;
            }
        }
    }
    let failed = findings.iter().any(|finding| finding.severity == Severity::Failure);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
