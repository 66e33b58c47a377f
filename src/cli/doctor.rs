//! `agent-provisioner doctor`

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Args as Clap;

use super::Error;
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
            let mark = match finding.severity {
                Severity::Ok => "ok  ",
                Severity::Warning => "WARN",
                Severity::Failure => "FAIL",
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
